# ruff: noqa: E501
"""Attacks from inside of a workflow. Success is looked for from outside, never by what the attacker says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from qcity_nb.errors import Refused
from qcity_nb.kinds import sandboxes
from qcity_nb.kinds.sandboxes import bubblewrap, proof
from qcity_nb.model.service import Sandbox
from qcity_nb.model.work import Outcome

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def _full() -> None:
    if sandboxes.best()[1] is not Sandbox.FULL:
        pytest.skip(f"no full sandbox here: {sandboxes.best()[2]}")


def steps(*runs: str) -> str:
    """A workflow of one job whose steps all run, whatever the others do."""
    lines = "".join(f"      - if: always()\n        run: |\n{indent(run)}" for run in runs)
    return f"on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n{lines}"


def indent(text: str) -> str:
    return "".join(f"          {line}\n" for line in text.splitlines())


def test_files_processes_network_and_kernel_are_out_of_reach(once, tmp_path: Path, monkeypatch) -> None:
    secret = Path.home() / f".qcity-test-secret-{os.getpid()}"
    secret.write_text("the home's secret")
    other = tmp_path / "outside"
    other.mkdir(mode=0o777)
    other.chmod(0o777)
    (other / "file").write_text("untouched")
    monkeypatch.setenv("ENGINE_TOKEN", "tok-123456")
    monkeypatch.setenv("WANTED", "handed on")
    victim = subprocess.Popen(["sleep", "73737"], env={"VICTIM_TOKEN": "vic-123456", "PATH": os.environ["PATH"]})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0)
        port = listener.getsockname()[1]
        interval = Path("/proc/sys/vm/stat_interval").read_text()
        try:
            driver, ends = once(
                steps(
                    f"echo gotcha > {other}/new || true; echo gotcha > {other}/file || true; cat {secret} || true; ls -la ~root /home /run {driver_home(tmp_path)} || true",
                    "echo gotcha > /usr/gotcha || true; echo gotcha > /etc/gotcha || true; echo 7 > /proc/sys/vm/stat_interval || true",
                    f"cat /proc/{victim.pid}/environ /proc/*/environ | tr '\\0' '\\n' | grep -E 'ENGINE_TOKEN|VICTIM' || true; kill -9 {victim.pid} || true",
                    f"exec 3<>/dev/tcp/127.0.0.1/{port} || true",
                    "env; id; ls /proc | grep -c '^[0-9]'",
                    "kill -9 -1",  # ends the job itself, act included, and nothing else
                ),
                env=["WANTED"],
            )
            end = ends["a"]
            log = driver.log(end.token)
            assert end.steps[4].outcome is Outcome.SUCCESS
            assert (end.outcome, end.reason) == (Outcome.FAILURE, 'it was cut off in step 6 "Run kill -9 -1": act ended with exit code 137')
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert victim.poll() is None
        finally:
            victim.kill()
            victim.wait()
            secret.unlink()
    assert [path.name for path in other.iterdir()] == ["file"]
    assert (other / "file").read_text() == "untouched"
    assert not Path("/usr/gotcha").exists()
    assert not Path("/etc/gotcha").exists()
    assert Path("/proc/sys/vm/stat_interval").read_text() == interval
    assert "the home's secret" not in log
    assert "tok-123456" not in log
    assert "vic-123456" not in log
    assert "ENGINE_TOKEN=" not in log
    assert "WANTED=handed on" in log
    if os.geteuid() == 0:
        assert "uid=0" not in log


def driver_home(tmp_path: Path) -> Path:
    return tmp_path / "home" / "services"


LIMITS = {"memory": 200 << 20, "processes": 60, "file_size": 20_000_000}


def test_bombs_hit_their_limits(once) -> None:
    """One file, memory: each stops at its limit, and the job says so."""
    program = "import sys\nx = []\nwhile True: x.append(bytearray(8 << 20))"
    driver, ends = once(
        steps(
            "head -c 30000000 /dev/zero > big; ls -l big; test $(stat -c %s big) -le 20000000 && echo held",
            f"python3 -c '{program}' || echo memory held",
        ),
        limits=LIMITS,
    )
    end = ends["a"]
    log = driver.log(end.token)
    assert "memory held" in log or "memory limit" in end.reason, log
    assert "held" in log.split("step 1")[-1], log
    assert not groups(driver.home.root / "work/runner" / end.token.replace(".", "_"))


def test_a_bomb_of_processes_hits_its_limit(once) -> None:
    """The limit counts act's own threads too: the bomb may take act with it, and then the reason says that."""
    bomb = "n=0; for i in $(seq 400); do sleep 100 & n=$((n+1)); done 2>/dev/null; echo started $n; kill $(jobs -p) 2>/dev/null || true"
    driver, ends = once(steps(bomb), limits=LIMITS)
    end = ends["a"]
    log = driver.log(end.token)
    assert "started 400" not in log.split("step 1")[-1]
    assert end.outcome is Outcome.FAILURE or "started " in log
    if "act ended" in end.reason and "failed to create new OS thread" in log:
        assert end.reason.endswith("the job used up its 60 processes, and left act none")


def test_an_act_that_got_no_thread_is_explained(once) -> None:
    """Go's own words come and act is gone: here for sure, in the bomb by chance only."""
    _, ends = once(steps("echo 'runtime: failed to create new OS thread (have 9 already; errno=11)'; sleep 0.5; kill -9 -1"), limits=LIMITS)
    assert ends["a"].outcome is Outcome.FAILURE
    assert ends["a"].reason.endswith("act ended with exit code 137; the job used up its 60 processes, and left act none")


def groups(work: Path) -> list[Path]:
    """The control groups of a work folder."""
    return [group for root in sandboxes.CGROUPS if (group := Path(root) / sandboxes.cgroup_name(work)).exists()]


def test_proving_leaves_nothing_behind(monkeypatch) -> None:
    made: list[Path] = []
    real = tempfile.mkdtemp
    # Only listens in: the folder is really made.
    monkeypatch.setattr(proof.tempfile, "mkdtemp", lambda **named: made.append(Path(real(**named))) or str(made[-1]))
    assert proof.prove(bubblewrap.KIND, Sandbox.FULL, "bubblewrap") == (Sandbox.FULL, "")
    assert len(made) == 1
    assert not made[0].exists()
    assert not groups(made[0] / "work")


def test_full_is_refused_where_it_is_not_there(monkeypatch) -> None:
    monkeypatch.setattr(sandboxes, "ORDER", ("bare",))
    sandboxes._proved.cache_clear()
    try:
        with pytest.raises(Refused, match='jobs are to run under sandbox "full" and this machine allows "none" at most: jobs run with the rights'):
            sandboxes.best(Sandbox.FULL)
    finally:
        sandboxes._proved.cache_clear()


def test_a_job_without_root(tmp_path: Path) -> None:
    """The same way as nobody: full by user namespaces alone, one job from commit to green."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("we are nobody special already, or there is no setpriv")
    script = tmp_path / "as_nobody.py"
    script.write_text(
        "import sys, pathlib, os\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from conftest import Repo, Driver\n"
        "from qcity_nb.model.home import Home\n"
        "from qcity_nb.model.wire import Seen\n"
        "top = pathlib.Path(sys.argv[2])\n"
        "repo = Repo(top / 'project')\n"
        "repo.workflow('on: push\\njobs:\\n  a:\\n    runs-on: x\\n    steps:\\n    - uses: actions/checkout@v4\\n    - run: id -u; git status; ls ~/../.. || true\\n')\n"
        "home = Home(top / 'home'); home.root.mkdir()\n"
        "driver = Driver(home, {'repo': str(repo.folder), 'poll': 0.1})\n"
        "driver.tell(Seen(heads={}))\n"
        "end = driver.run(driver.builds()[0])['a']\n"
        "print(driver.facts[0].sandbox, end.outcome.value, end.reason, driver.log(end.token), driver.stop())\n"
    )
    tmp_path.chmod(0o755)
    here = Path(__file__).resolve()
    places = [Path(sys.prefix), Path(sys.base_prefix), here.parents[3], Path(sysconfig.get_path("purelib"))]
    top = Path("/var/tmp") / f"qcity-nobody-{os.getpid()}"
    view = private_view(places, script)
    top.mkdir()
    os.chown(top, 65534, 65534)
    try:
        argv = ["unshare", "--mount", "bash", "-c", view, "view", sys.executable, str(script), str(here.parent), str(top)]
        env = {"PATH": os.environ["PATH"], "HOME": str(top), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    finally:
        shutil.rmtree(top)
    assert done.stdout.startswith("full success"), done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(" 0"), done.stdout
    assert "\n65534\n" in done.stdout


def private_view(places: list[Path], script: Path) -> str:
    """Shell that makes the places reachable for nobody in a mount namespace of its own, then becomes nobody."""
    lines = ["set -e", "mkdir -p /mnt/q", "mount -t tmpfs none /mnt"]
    tops = sorted({Path("/", *place.parts[1:2]) for place in [*places, script]} - {Path("/usr"), Path("/var")})
    binds = []
    for number, place in enumerate(dict.fromkeys([*places, script.parent])):
        if place.parts[1] == "usr":
            continue
        lines += [f"mkdir /mnt/{number}", f"mount --bind '{place}' /mnt/{number}"]
        binds.append((number, place))
    lines += [f"mount -t tmpfs -o mode=1777 none {top}" for top in tops]
    for number, place in binds:
        lines += [f"mkdir -p '{place}'", f"mount --bind /mnt/{number} '{place}'"]
    lines += ["umount -l /mnt", 'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"']
    return "\n".join(lines)
