"""The scripted Runner.Listener behaves as the real one: its verbs, lines, exit codes, signals and files, against the stand-in of GitHub."""

from __future__ import annotations

import json
import signal

import pytest
import requests

from qcity_nb.testing.agents import archive

pytestmark = [pytest.mark.real]

REPO = "octo/hello"
SECONDS = 15.0


def test_configure_run_a_job_and_stop(bench):
    root = bench.configured("one", "--labels", "gpu")
    settings = json.loads((root / ".runner").read_bytes().removeprefix(b"\xef\xbb\xbf"))
    assert (root / ".runner").read_bytes().startswith(b"\xef\xbb\xbf")
    assert settings["agentId"] == bench.github.runner(REPO, "one").id
    assert {path.stat().st_mode & 0o777 for path in root.glob(".[rc]*")} == {0o600}
    process = bench.listening(root)
    assert bench.github.online(REPO, "one")
    job = bench.github.queue_job(REPO, labels=["gpu"], payload={"steps": [{"name": "Say", "run": "echo hello"}, {"name": "Fail", "run": "exit 3"}]})
    assert bench.over(job) == "failure"
    done = bench.github.job(job)
    assert [step["conclusion"] for step in done.steps] == ["success", "success", "failure", "success"]
    assert "hello" in done.log
    bench.says(root, "completed with result: Failed")
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0
    assert not bench.github.online(REPO, "one")
    assert bench.clues(bench.said(root)) == ["connected", "listening", "running", "completed"]
    assert (root / ".runner").exists()


def test_a_just_in_time_runner_does_one_job_and_leaves(bench):
    root = bench.install().parents[1]
    job = bench.github.queue_job(REPO, payload={"script": "env; echo done"})
    process = bench.jit(root, "jit-1")
    assert process.wait(SECONDS) == 0
    assert bench.github.job(job).conclusion == "success"
    assert "RUNNER_TRACKING_ID=" in bench.github.job(job).log
    assert "JITCONFIG" not in bench.github.job(job).log
    assert bench.github.runners(REPO) == []
    assert not list(root.glob(".runner")) + list(root.glob(".cred*"))
    assert bench.clues(bench.said(root))[-1] == "completed"


def test_an_archive_is_offered_and_works(bench):
    bench.github.offer(archive("2.336.0"))
    assert bench.command(bench.install().parents[1], "--version").stdout == "2.336.0\n"


def test_the_registration_token_reaches_no_job_and_no_file(bench):
    token = str(bench.api("registration-token")["token"])
    root = bench.install("one").parents[1]
    assert bench.configure(root, "one", token=token).returncode == 0
    process = bench.start(root, ACTIONS_RUNNER_INPUT_TOKEN=token)
    assert bench.over(bench.github.queue_job(REPO, payload={"script": "env"})) == "success"
    assert token not in bench.github.jobs(REPO)[0].log
    assert not [path for path in root.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert process.poll() is None


@pytest.mark.parametrize("bad", ["taken", "token", "again", "no token", "url"])
def test_configure_says_why_it_cannot(bench, bad):
    root = bench.configured("one") if bad in ("taken", "again") else bench.install("one").parents[1]
    fresh = bench.install("two").parents[1]
    if bad == "taken":
        ended = bench.configure(fresh, "one")
        expected = "A runner exists with the same name one."
    elif bad == "again":
        ended = bench.configure(root, "one")
        expected = "Cannot configure the runner because it is already configured."
    elif bad == "token":
        ended = bench.configure(fresh, "one", token="ABC")
        expected = "Response status code does not indicate success: 404 (Not Found)."
        assert "Http response code: NotFound from 'POST" in ended.stderr
        assert "register_not_found" in bench.clues(ended.stderr)
    elif bad == "no token":
        ended = bench.command(fresh, "configure", "--unattended", "--url", f"{bench.github.root}/{REPO}")
        expected = "Invalid configuration provided for token. Terminating unattended configuration."
    else:
        ended = bench.command(fresh, "configure", "--unattended", "--url", bench.github.root, "--token", "ABC")
        expected = f"'{bench.github.root}' should point to an org or repository."
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(expected)
    assert not (fresh / ".runner").exists()


def test_a_name_is_taken_over_with_replace(bench):
    bench.configured("one")
    before = bench.github.runner(REPO, "one").id
    root = bench.install("two").parents[1]
    assert bench.configure(root, "one", "--replace").returncode == 0
    assert bench.github.runner(REPO, "one").id != before


def test_remove_unregisters_and_local_only_forgets(bench):
    root, other = bench.configured("one"), bench.configured("two")
    token = str(bench.api("remove-token")["token"])
    ended = bench.command(root, "remove", ACTIONS_RUNNER_INPUT_TOKEN=token)
    assert (ended.returncode, [one.name for one in bench.github.runners(REPO)]) == (0, ["two"])
    assert "√ Runner removed successfully" in ended.stdout
    assert bench.command(other, "remove", "--local").returncode == 0
    assert [one.name for one in bench.github.runners(REPO)] == ["two"]
    assert not (other / ".runner").exists()
    assert "Does not exist. Skipping Removing .runner" in bench.command(other, "remove", "--local").stdout


def test_run_without_a_registration(bench):
    root = bench.install().parents[1]
    ended = bench.command(root, "run")
    assert (ended.returncode, bench.clues(ended.stderr)) == (1, ["not_configured"])
    assert bench.command(root, "run", ACTIONS_RUNNER_INPUT_JITCONFIG="%%%").returncode == 1


def test_the_started_hook_guards_the_job_and_the_completed_hook_follows_it(bench):
    root = bench.configured()
    (root / "good.sh").write_text("echo the hook ran for $GITHUB_JOB")
    (root / "bad.sh").write_text("echo the disk is full; exit 1")
    hooks = {"ACTIONS_RUNNER_HOOK_JOB_STARTED": str(root / "good.sh"), "ACTIONS_RUNNER_HOOK_JOB_COMPLETED": str(root / "good.sh")}
    (root / ".env").write_text("".join(f"{key}={text}\n" for key, text in hooks.items()))
    process = bench.listening(root)
    job = bench.github.queue_job(REPO, payload={"script": "echo work"})
    assert bench.over(job) == "success"
    assert [step["name"] for step in bench.github.job(job).steps] == ["Set up job", "Set up runner", "Run", "Complete runner", "Complete job"]
    assert bench.github.job(job).log.count("the hook ran for build") == 2
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0
    (root / ".env").write_text(f"ACTIONS_RUNNER_HOOK_JOB_STARTED={root / 'bad.sh'}\n")
    bench.start(root)
    job = bench.github.queue_job(REPO, payload={"script": "echo work"})
    assert bench.over(job) == "failure"
    assert [step["conclusion"] for step in bench.github.job(job).steps] == ["success", "failure", "skipped", "success"]
    assert "##[error]Process completed with exit code 1." in bench.github.job(job).log


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGQUIT, 0), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_job_and_ends_it_in_order(bench, number, code):
    root = bench.configured()
    process = bench.listening(root)
    job = bench.github.queue_job(REPO, payload={"script": "echo begun; sleep 60"})
    bench.until(lambda: "begun" in bench.github.job(job).log or "##[group]Run" in bench.github.job(job).log, "the job runs")
    assert [one for one in bench.left() if "Runner.Worker" in " ".join(one.cmdline())]
    process.send_signal(number)
    assert process.wait(SECONDS) == code
    assert bench.github.job(job).conclusion == "cancelled"
    assert "completed with result: Canceled" in bench.said(root)
    assert ("Exiting..." in bench.said(root)) == (number != signal.SIGTERM)
    assert not bench.github.online(REPO, "one")


def test_a_job_is_cancelled_by_its_platform(bench):
    root = bench.configured()
    bench.listening(root)
    job = bench.github.queue_job(REPO, payload={"script": "sleep 60"})
    bench.until(lambda: "##[group]Run" in bench.github.job(job).log, "the job runs")
    headers = {"Authorization": f"Bearer {bench.token}"}
    url = f"{bench.github.url}/repos/{REPO}/actions/runs/{bench.github.job(job).run}/cancel"
    assert requests.post(url, headers=headers, timeout=5).status_code == 202
    assert bench.over(job) == "cancelled"
    assert bench.over(bench.github.queue_job(REPO)) == "success"


def test_it_says_that_it_lives_every_half_hour_and_renews_its_job_every_minute(bench):
    root = bench.configured()
    bench.listening(root)
    bench.until(lambda: bench.clues(bench.diag(root)).count("heartbeat") >= 2, "two heartbeats", 10)
    job = bench.github.queue_job(REPO, payload={"script": "sleep 0.5"})
    assert bench.over(job) == "success"
    assert bench.clues(bench.diag(root)).count("renewed") >= 3
    assert "VERB" not in bench.diag(root)


def test_the_console_is_mirrored_and_so_the_log_alone_suffices(bench):
    root = bench.configured()
    bench.listening(root)
    bench.over(bench.github.queue_job(REPO))
    bench.says(root, "completed with result")
    mirrored = [clue for clue in bench.clues(bench.diag(root)) if clue in ("listening", "running", "completed")]
    assert mirrored == ["listening", "running", "completed"]
    assert bench.diag(root, "Worker").count("Job completed.") == 1


def test_a_job_that_is_marked_is_found_after_it_and_killed(bench):
    root = bench.configured()
    bench.listening(root)
    job = bench.github.queue_job(REPO, payload={"script": f"setsid sleep 61.5 {root}/ 2>/dev/null & setsid sleep 62.5 & echo $!"})
    assert bench.over(job) == "success"
    assert "Terminate orphan process" in bench.diag(root, "Worker")


def test_a_listener_killed_outright_leaves_its_worker_to_end_by_itself(bench):
    root = bench.configured()
    process = bench.listening(root)
    job = bench.github.queue_job(REPO, payload={"script": "sleep 60"})
    bench.until(lambda: "##[group]Run" in bench.github.job(job).log, "the job runs")
    process.kill()
    process.wait(SECONDS)
    bench.until(lambda: not bench.left(), "its worker has ended")
    assert bench.github.job(job).status == "in_progress"
