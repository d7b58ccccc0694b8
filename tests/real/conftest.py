"""Commands of a person on a home of their own, as real processes: what the tests with the real command share."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import qcity_nb
from qcity_nb.io.files import is_locked


class City:
    """Commands on one home.

    Args:
        home: the folder.
        before: what stands before each command: a machine that has less.
    """

    def __init__(self, home: Path, *, before: Sequence[str] = ()) -> None:
        self.home, self.base, self.owner = home, home.parent, os.geteuid()
        self.command = [*before, sys.executable, "-c", "import sys; from qcity_nb.cli import main; sys.exit(main())"]
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("QCITY_")} | {"QCITY_HOME": str(home)}

    def __call__(self, *argv, code=0, **env):
        done = subprocess.run([*self.command, *argv], env=self.env | env, capture_output=True, text=True, timeout=60, check=False, cwd=self.base)
        assert done.returncode == code, (argv, done.returncode, done.stdout + done.stderr)
        assert "Traceback" not in done.stdout + done.stderr
        assert "mistake in qcity" not in done.stderr
        return done.stdout + done.stderr

    def json(self, *argv):
        done = subprocess.run([*self.command, *argv, "--json"], env=self.env, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    def until(self, probe, seconds=60):
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
        subprocess.run(["chown", "-R", str(self.owner), str(folder)], check=True)
        return str(folder)


@pytest.fixture
def city(tmp_path):
    command = City(tmp_path / "a home ü")
    yield command
    if is_locked(command.home / "engine.lock"):
        command("engine", "stop", "--runners")
    outside = hashlib.sha256(os.fsencode(command.home.resolve())).hexdigest()[:16]  # act cannot work below a path with a blank
    shutil.rmtree(f"/var/tmp/qcity-{outside}", ignore_errors=True)


@pytest.fixture
def less(tmp_path):
    """Makes a city on a machine that has less, as `lesser.py` says; whoever it runs as owns the folder around the home."""
    folder, made = Path(tempfile.mkdtemp(prefix="qcity-less-", dir="/tmp")), []  # pytest's own folder is closed to others

    def make(**spec):
        if os.geteuid() != 0:
            pytest.skip("only root can take something away from a machine")
        uid = spec.get("uid", 0)
        reach = [sys.base_prefix, sys.prefix, str(Path(qcity_nb.__file__).parents[1])] if uid else []
        before = [sys.executable, str(Path(__file__).with_name("lesser.py")), json.dumps({**spec, "open": reach})]
        tried = subprocess.run([*before, "/bin/true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(tried.stdout.strip() or tried.stderr)
        os.chown(folder, uid, uid)
        made.append(City(folder / "home", before=before))
        made[-1].env["HOME"] = str(folder)
        made[-1].owner = uid
        return made[-1]

    yield make
    for city in made:
        if is_locked(city.home / "engine.lock"):
            city("engine", "stop", "--runners")
    shutil.rmtree(folder)


@pytest.fixture
def small_disk(tmp_path):
    """Makes a city whose home is on a disk of this size; its `disk` is where that disk is seen from here."""
    holders, cities = [], []

    def make(size):
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small disk")
        folder = tmp_path / "disk"
        folder.mkdir()
        spec = json.dumps({"disk": {str(folder): f"size={size}"}})
        lesser = [sys.executable, str(Path(__file__).with_name("lesser.py")), spec, "/bin/sh", "-c", "echo ready; read -r end"]
        holder = subprocess.Popen(lesser, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        if (said := holder.stdout.readline().strip()) != "ready":
            pytest.skip(said)
        made = City(folder / "home", before=["nsenter", "-t", str(holder.pid), "-m", f"--wd={tmp_path}", "--"])
        made.base, made.disk = tmp_path, Path(f"/proc/{holder.pid}/root{folder}")
        cities.append(made)
        return made

    yield make
    for city in cities:  # what a test that failed left running
        (city.disk / "filler").unlink(missing_ok=True)
        if is_locked(city.disk / "home" / "engine.lock"):
            city("engine", "stop", "--runners")
    for holder in holders:
        holder.communicate("end")
