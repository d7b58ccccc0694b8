"""Every line of the scripted agents that somebody decides on is understood by our parser as what it means; and our own code starts them."""

from __future__ import annotations

import pytest

from qcity_nb.decide import agentlog
from qcity_nb.errors import PlatformError
from qcity_nb.kinds.runners.forge import github
from qcity_nb.kinds.runners.forge.options import Options
from qcity_nb.model.agent import Wanted
from qcity_nb.ports import Registration
from qcity_nb.testing.agents.console import Console, universal
from qcity_nb.testing.agents.gllog import FORMATS, render
from qcity_nb.testing.agents.listener import ICU
from qcity_nb.testing.agents.messages import BROKER, CONTINUE, DELETED
from qcity_nb.testing.agents.settings import CLOCK, TAKEN

REPO = "octo/hello"
AT = universal()
CONSOLE = [
    ("√ Connected to GitHub", "connected"),
    (f"{AT}: Listening for Jobs", "listening"),
    (f"{AT}: Running job: build", "running"),
    (f"{AT}: Job build completed with result: Succeeded", "completed"),
    (f"{AT}: Runner connect error: Connection refused (127.0.0.1:1). Retrying until reconnected.", "connect_error"),
    (f"{AT}: Runner reconnected.", "reconnected"),
    ("Runner update in progress, do not shutdown runner.", "updating"),
    ("Downloading 2.337.0 runner", "updating"),
    ("Runner will exit shortly for update, should be back online within 10 seconds.", "update_exit"),
    ("Runner update process finished.", "update_finished"),
    ("Runner update failed: no", "update_failed"),
    ("A session for this runner already exists.", "session_exists"),
    (DELETED, "registration_deleted"),
    ("The runner no longer exists on the server. Cleaning up local configuration.", "no_longer_exists"),
    ("The runner no longer exists on the server. Please reconfigure the runner.", "no_longer_exists"),
    (CLOCK, "clock"),
    ("Must not run interactively with sudo", "sudo"),
    (ICU, "dependencies"),
    (TAKEN, "already_configured"),
    ("Http response code: NotFound from 'POST https://api.github.com/actions/runner-registration' (Request Id: 1)", "register_not_found"),
    ("Runner is not configured.", "not_configured"),
    ("An error occurred: No space left on device : '/a/_diag/Runner_20260102-030405-utc.log'", "disk_full"),
    ("An error occurred: Runner version v2.336.0 is deprecated and cannot receive messages.", "version_deprecated"),
]
LOGGED = [
    ("No message retrieved from session '1' within last 30 minutes.", "heartbeat"),
    ("Successfully renew job 1, job is valid till 2", "renewed"),
    ("Acknowledging runner request '1'.", "acknowledging"),
    ("AAD Correlation ID for this token request: Unknown", "token_request"),
    (CONTINUE, "new_status"),
    (BROKER, "broker_migration"),
    ("Job request message sending for job 1 been cancelled, kill running worker.", "worker_hung"),
    ("Worker finished for job 1. Code: 134", "worker_exit"),
    ("No message retrieved within last 30 minutes.", "heartbeat"),
]
GITLAB = [
    ("Starting multi-runner from /a/config.toml...", "gl_ready"),
    ("Starting runner for http://a with token glrt-1234 ...", "gl_ready"),
    ("Configuration loaded", "gl_ready"),
    ("Checking for jobs... received", "gl_received"),
    ("Checking for jobs... forbidden", "gl_forbidden"),
    ('Runner "http://aglrt-1" is unhealthy and will be disabled for 1h0m0s seconds!', "gl_unhealthy"),
    ("Runner is not healthy!", "gl_unhealthy"),
    ("CONFIGURATION: Long polling issues detected.\nIssues found:\n", "gl_long_polling"),
    ("Job succeeded", "gl_over"),
    ("Job failed: exit status 1", "gl_over"),
    ("Job failed (system failure): prepare environment: exit status 1. Check https://docs.gitlab.com/", "gl_prepare"),
    ("This runner has processed its build limit, so now exiting", "gl_limit"),
]


@pytest.mark.parametrize(("text", "name"), CONSOLE, ids=range(len(CONSOLE)))  # a line holds the time: no name for a test
def test_lines_of_the_console_and_their_mirror(text, name, tmp_path):
    console = Console(tmp_path, "Runner")
    console.error(text)
    console.close()
    for line in (text, console.path.read_text().splitlines()[0]):
        found = agentlog.clue(line)
        assert found is not None, line
        assert found.name == name


@pytest.mark.parametrize(("text", "name"), LOGGED)
def test_lines_of_the_log_only(text, name, tmp_path):
    log = Console(tmp_path, "Runner")
    log.write("MessageListener", text)
    log.close()
    found = agentlog.clue(log.path.read_text())
    assert found is not None
    assert (found.name, found.at is None) == (name, False)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("text", "name"), GITLAB)
def test_lines_of_gitlab_runner(text, name, form):
    found = agentlog.clue(render(form, "info", text, {"job": 1, "runner": "glrt-1234"}).splitlines()[0])
    assert found is not None
    assert found.name == name


def registration(bench):
    return Registration(id=None, jit=False, secret=str(bench.api("registration-token")["token"]))


def wanted(name):
    return Wanted(forge="github", url="", scope=REPO, name=name, labels=("gpu",), ephemeral=True, group="", version="", token="", options=())


def test_our_own_code_registers_it_and_becomes_it(bench):
    root = bench.install("one").parents[1]
    github.PROGRAM.configure(root, wanted("one"), registration(bench), url=bench.github.root)
    assert github.PROGRAM.configured(root) == bench.github.runner(REPO, "one").id
    argv, env = github.PROGRAM.command(root, Options(forge="github", scope=REPO), None)
    assert argv == [str(root / "bin/Runner.Listener"), "run"]
    process = bench.start(root, **env)
    assert bench.over(bench.github.queue_job(REPO, labels=["gpu"])) == "success"
    assert process.wait(15) == 0


def test_our_own_code_understands_a_refused_registration(bench):
    root = bench.install("one", script=[{"fault": "not_found"}]).parents[1]
    with pytest.raises(PlatformError) as caught:
        github.PROGRAM.configure(root, wanted("one"), registration(bench), url=bench.github.root)
    assert caught.value.kind == "not_found"


def test_our_own_code_understands_that_a_name_is_taken(bench):
    bench.configured("one")
    root = bench.install("two").parents[1]
    with pytest.raises(PlatformError) as caught:
        github.PROGRAM.configure(root, wanted("one"), registration(bench), url=bench.github.root)
    assert caught.value.kind == "conflict"
