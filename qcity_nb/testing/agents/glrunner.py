"""The scripted gitlab-runner: `run`, `run-single`, `verify`, `unregister` of gitlab-runner 19.4, against `FakeGitLab`. Standard library only.

It is packed into one file with its sister modules (`package.gitlab_runner`). What it is told to do wrong is in `script`; its `.script` counts lie in
`_diag` of the folder that holds its `config.toml`. What it leaves out: sources, caches, artifacts, services, metrics.
"""

from __future__ import annotations

import hashlib
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .gljobs import Build, GitLab
from .gllog import FORMATS, Fatal, Log, bottlenecks, load, warning
from .script import Script
from .settings import inputs

CHECK_SECONDS, RELOAD_SECONDS, NOT_HEALTHY_SECONDS = 3.0, 3.0, 300.0
UNHEALTHY_REQUESTS, UNHEALTHY_SECONDS, SHUTDOWN_SECONDS = 3, 3600.0, 30.0
WORDS = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminated", signal.SIGQUIT: "quit"}
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


class Runners:
    """The command `run`: as many jobs at a time as `concurrent` says, for every runner of the configuration.

    Args:
        path: of `config.toml`.
    """

    def __init__(self, path: Path, version: str, log: Log, script: Script) -> None:
        self._path, self._version, self._log, self._script = path, version, log, script
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._stopping, self._quiet = threading.Event(), threading.Event()
        self._builds: list[Build] = []
        self._asking: dict[str, int] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._clients: dict[str, GitLab] = {}
        self._config: dict[str, Any] = {}
        self._read_at = 0

    def run(self) -> int:
        """Until a signal."""
        for number in (*STOPS, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._events.put(("signal", number)))
        self._log.info(f"Starting multi-runner from {self._path}...", builds=0)
        self._load()
        self._log.info("Initializing executor providers", builds=0)
        if self._config.get("concurrent", 1) < 1:
            raise Fatal("Concurrent is less than 1 - no jobs will be processed")
        threading.Thread(target=self._feed, daemon=True, name="feed").start()
        while True:
            code = self._handle()
            if code is not None:
                return code

    def _handle(self) -> int | None:
        try:
            kind, what = self._events.get(timeout=max(0.02, RELOAD_SECONDS * self._script.scale))
        except queue.Empty:
            self._reread()
            return None
        if kind == "end":
            return int(what)
        if what == signal.SIGHUP:
            self._try_load()
            return None
        if self._script.take("signal", "ignore_int", *(["ignore_term"] if what == signal.SIGTERM else [])):
            return None
        return self._stop(what)

    def _stop(self, number: int) -> int:
        """SIGQUIT waits for the jobs, another signal aborts them, a second one does not wait for that either."""
        self._log.muted = False
        self._stopping.set()
        while number == signal.SIGQUIT:
            self._log.warning("Requested quit, waiting for builds to finish", builds=len(self._builds))
            later = self._next_stop(None)
            if later is None:
                return self._stopped()
            number = later
        self._log.warning(f"Requested service stop: {WORDS[signal.Signals(number)]}", builds=len(self._builds))
        for build in list(self._builds):
            threading.Thread(target=build.abort, args=(WORDS[signal.Signals(number)],), daemon=True).start()
        again = self._next_stop(max(0.2, float(self._config.get("shutdown_timeout") or SHUTDOWN_SECONDS) * self._script.scale))
        if again is not None:
            raise Fatal(f"forced exit: {WORDS[signal.Signals(again)]}" if again else "shutdown timed out")
        return self._stopped()

    def _stopped(self) -> int:
        self._log.info("All workers stopped.", builds=0)
        self._log.info("All executor providers shut down.", builds=0)
        self._log.info("All workers stopped. Can exit now", builds=0)
        return 0

    def _next_stop(self, seconds: float | None) -> int | None:
        """Wait for the jobs' end (None), another signal, or for so long (0)."""
        end = None if seconds is None else time.monotonic() + seconds
        while self._builds:
            if end is not None and time.monotonic() > end:
                return 0
            try:
                kind, what = self._events.get(timeout=0.02)
            except queue.Empty:
                continue
            if kind == "signal" and what in STOPS:
                return int(what)
        return None

    def _load(self) -> None:
        self._config, self._read_at = load(self._path), self._path.stat().st_mtime_ns
        self._failures = {}
        self._log.info("Configuration loaded", builds=len(self._builds))
        forced = self._script.take("start", "long_polling")
        issues = warning(["Request bottleneck: 1 runners have request_concurrency=1, causing job delays during long polling"]) if forced else ""
        if issues := issues or bottlenecks(self._config):
            self._log.warning(issues, builds=len(self._builds))

    def _try_load(self) -> None:
        try:
            self._load()
        except (OSError, ValueError) as error:
            self._log.error(f"Failed to load config {error}", builds=len(self._builds))

    def _reread(self) -> None:
        """Load again what has changed."""
        try:
            changed = self._path.stat().st_mtime_ns != self._read_at
        except OSError:
            return
        if changed:
            self._try_load()

    def _feed(self) -> None:
        """Ask for every runner in its turn, when a worker is free for it."""
        while not self._stopping.is_set() and not self._quiet.is_set():
            runners = self._config["runners"]
            for runner in runners:
                if self._free(runner):
                    threading.Thread(target=self._request, args=(runner,), daemon=True, name="request").start()
                self._stopping.wait(max(0.02, float(self._config.get("check_interval") or CHECK_SECONDS) * self._script.scale / len(runners)))
            if not runners:
                self._stopping.wait(max(0.02, CHECK_SECONDS * self._script.scale))

    def _free(self, runner: dict[str, Any]) -> bool:
        """Whether it is healthy, and a worker and a request are free for it; the request is then taken."""
        with self._lock:
            failures, since = self._failures.get(runner["token"], (0, 0.0))
            if failures >= UNHEALTHY_REQUESTS:
                if time.monotonic() - since < UNHEALTHY_SECONDS * self._script.scale:
                    return False
                self._failures.pop(runner["token"], None)
                self._log.warning(f'Runner "{_unique(runner)}" is not healthy, but check for a new job will be forced!', unhealthy_requests=failures)
            busy = len(self._builds) + sum(self._asking.values())
            mine = self._asking.get(runner["token"], 0)
            if busy >= int(self._config.get("concurrent", 1)) or mine >= runner["request_concurrency"]:
                return False
            self._asking[runner["token"]] = mine + 1
            return True

    def _request(self, runner: dict[str, Any]) -> None:
        """One question; a job that came is started."""
        client = self._clients.setdefault(runner["token"], GitLab(runner, system_id(self._path), self._version))
        fault = self._script.take("poll") or {}
        name = str(fault.get("fault"))
        if name == "exit":
            _end(int(fault.get("code", 1)), self._events)
            return
        if name == "silent":
            self._log.muted = True
            self._quiet.set()
            return
        status, job = (403, {}) if name == "forbidden" else client.request()
        healthy = said(self._log, runner, status, job)
        with self._lock:
            self._asking[runner["token"]] -= 1
            if status == 201:
                self._start(runner, job)
            failures = 0 if healthy else self._failures.get(runner["token"], (0, 0.0))[0] + 1
            self._failures[runner["token"]] = failures, time.monotonic()
        if failures >= UNHEALTHY_REQUESTS:
            text = f'Runner "{_unique(runner)}" is unhealthy and will be disabled for 1h0m0s seconds!'
            self._log.error(text, unhealthy_requests=failures, unhealthy_requests_limit=UNHEALTHY_REQUESTS)

    def _start(self, runner: dict[str, Any], job: dict[str, Any]) -> None:
        fault = str((self._script.take("job") or {}).get("fault"))
        build = Build(runner, job, folder=Path.cwd(), log=self._log, scale=self._script.scale, fault=fault, done=lambda: self._builds.remove(build))
        self._builds.append(build)
        build.start()


def single(path: Path, given: dict[str, str], version: str, say: Log, script: Script) -> int:
    """The command `run-single`: one runner, so many jobs, one after the other."""
    events: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in STOPS:
        signal.signal(number, lambda number, _: events.put(number))
    runner = _chosen(path, given)
    for key, word in (("url", "URL"), ("token", "Token"), ("executor", "Executor")):
        if not runner.get(key):
            raise Fatal(f"Missing {word}")
    say.info(f"Starting runner for {runner['url']} with token {runner['token'][:9]} ...")
    client, left = GitLab(runner, "s_" + hashlib.sha256(runner["token"].encode()).hexdigest()[:12], version), int(given.get("max-builds", "0"))
    forever, last, over = left == 0, time.monotonic(), False
    while not over:
        status, job, failed = _ask_once(client, say, script)
        if failed is not None:
            return failed
        if status == 201:
            over = _finish(runner, job, say, script, events)
            left, last = left - 1, time.monotonic()
        else:
            healthy = status in {204, 503}
            if not healthy:
                say.info("Runner is not healthy!")
            over = _interrupted(events, script, say, (CHECK_SECONDS if healthy else NOT_HEALTHY_SECONDS) * script.scale)
        if left < 1 and not forever:
            say.info("This runner has processed its build limit, so now exiting")
            over = True
        if time.monotonic() - last > float(given.get("wait-timeout", "inf")) * script.scale:
            say.info(f"This runner has not received a job in {given['wait-timeout']} seconds, so now exiting")
            over = True
    return 0


def _ask_once(client: GitLab, say: Log, script: Script) -> tuple[int, dict[str, Any], int | None]:
    """One question: status, job, and the code to end with, if it has to."""
    fault = script.take("poll") or {}
    name = str(fault.get("fault"))
    if name == "exit":
        return 0, {}, _end(int(fault.get("code", 1)), None)
    if name == "silent":
        say.muted = True
        threading.Event().wait()
    status, job = (403, {}) if name == "forbidden" else (0, {}) if script.take("start", "unhealthy") else client.request()
    said(say, client.runner, status, job)
    return status, job, None


def _finish(runner: dict[str, Any], job: dict[str, Any], say: Log, script: Script, events: queue.SimpleQueue[int]) -> bool:
    """Run a job to its end; whether a signal wants the end of everything."""
    over = threading.Event()
    fault = str((script.take("job") or {}).get("fault"))
    build = Build(runner, job, folder=Path.cwd(), log=say, scale=script.scale, fault=fault, done=over.set)
    build.start()
    stops = aborted = False
    while not over.wait(0.02):
        number = _stop_signal(events, script)
        if number is None:
            continue
        if aborted:
            raise Fatal(f"forced exit: {WORDS[signal.Signals(number)]}")
        stops = True
        if number == signal.SIGQUIT:
            say.warning("Requested quit, waiting for builds to finish")
            continue
        aborted = True
        say.warning(f"Requested exit: {WORDS[signal.Signals(number)]}")
        threading.Thread(target=build.abort, args=(WORDS[signal.Signals(number)],), daemon=True).start()
    return stops


def _interrupted(events: queue.SimpleQueue[int], script: Script, say: Log, seconds: float) -> bool:
    """Wait for so long; whether a signal came meanwhile."""
    end = time.monotonic() + max(0.02, seconds)
    while time.monotonic() < end:
        number = _stop_signal(events, script)
        if number == signal.SIGQUIT:
            say.warning("Requested quit, waiting for builds to finish")
        elif number is not None:
            say.warning(f"Requested exit: {WORDS[signal.Signals(number)]}")
        if number is not None:
            return True
        time.sleep(0.01)
    return False


def _stop_signal(events: queue.SimpleQueue[int], script: Script) -> int | None:
    try:
        number = events.get_nowait()
    except queue.Empty:
        return None
    ignored = script.take("signal", "ignore_int", *(["ignore_term"] if number == signal.SIGTERM else []))
    return None if ignored else number


def said(say: Log, runner: dict[str, Any], status: int, job: dict[str, Any]) -> bool:
    """Say what an answer means; whether it counts as healthy."""
    fields: dict[str, object] = {"runner": runner["token"][:9], "runner_name": runner["name"]}
    if status == 201:
        say.info("Checking for jobs... received", job=job["id"], repo_url=job["git_info"]["repo_url"], **fields)
    elif status == 403:
        say.error("Checking for jobs... forbidden", status="403 Forbidden", **fields)
    elif status == 503:
        say.warning("Checking for jobs... GitLab instance currently unavailable", status="503 Service Unavailable", **fields)
    elif status == 0:
        say.error("Checking for jobs... client error", status=f"couldn't execute POST against {runner['url']}/api/v4/jobs/request", **fields)
    elif status != 204:
        say.warning("Checking for jobs... failed", status=status, **fields)
    return status not in {0, 403}


def system_id(path: Path) -> str:
    """What tells this place from another one with the same token: kept beside the configuration, as the real one does."""
    kept = path.with_name(".runner_system_id")
    if not kept.exists():
        kept.write_text("s_" + hashlib.sha256(str(path).encode()).hexdigest()[:12])
    return kept.read_text()


def _unique(runner: dict[str, Any]) -> str:
    return f"{runner['url']}{runner['token']}"


def _chosen(path: Path, given: dict[str, str]) -> dict[str, Any]:
    """The runner that the options name, from the configuration or from themselves."""
    if "runner" not in given:
        plain = {"name": "", "url": given.get("url", ""), "token": given.get("token", ""), "executor": given.get("executor", "")}
        return {**plain, "limit": 0, "request_concurrency": 1}
    try:
        found = [one for one in load(path)["runners"] if one["name"] == given["runner"]]
    except (OSError, ValueError) as error:
        raise Fatal(f"Error loading config: {error}") from error
    if not found:
        raise Fatal(f"Error loading runner by name: could not find a runner with the name '{given['runner']}'")
    return dict(found[0])


def _end(code: int, events: queue.SimpleQueue[tuple[str, Any]] | None) -> int:
    if code < 0:
        os.kill(os.getpid(), -code)
    if events is not None:
        events.put(("end", code))
    return code


def verify(path: Path, version: str, say: Log) -> int:
    """The command `verify`."""
    states = {}
    for runner in load(path)["runners"]:
        status = states[runner["token"]] = GitLab(runner, system_id(path), version).verify()
        created = runner["token"].startswith("glrt-")
        if status == 200:
            say.info(f"Verifying runner... {'is valid' if created else 'is alive'}", runner=runner["token"][:9])
        else:
            word = ("is not valid" if created else "is removed") if status == 403 else "failed"
            say.write("info" if created and status == 403 else "error", f"Verifying runner... {word}", runner=runner["token"][:9])
    if 403 in states.values():
        raise Fatal("Failed to verify runners")
    return 0


def unregister(path: Path, given: dict[str, str], version: str, say: Log) -> int:
    """The command `unregister --name NAME`: its table is taken out of the configuration, too."""
    runner = _chosen(path, {"runner": given.get("name", "")})
    if GitLab(runner, system_id(path), version).unregister() != 204:
        raise Fatal(f"Failed to unregister runner {given.get('name', '')}")
    say.info("Unregistering runner from GitLab succeeded", runner=runner["token"][:9])
    head, *tables = path.read_text().split("[[runners]]")
    path.write_text("[[runners]]".join([head, *(table for table in tables if runner["token"] not in table)]))
    say.info(f"Updated {path}")
    return 0


def main(version: str) -> int:
    """The program, as its packed file starts it."""
    program = Path(sys.argv[0]).absolute()
    verb, given = (sys.argv[1] if len(sys.argv) > 1 else ""), inputs(sys.argv[2:])
    path = Path(given.get("config", "config.toml")).absolute()
    script = Script(path.parent, program.with_name("script.json"), given.get("runner", path.parent.parent.name))
    chosen = str(given.get("log-format") or script.told("log_format") or "text")
    say = Log(chosen if chosen in FORMATS else "text")
    fault = script.take("start", "exit")
    if fault is not None:
        return _end(int(fault.get("code", 1)), None)
    if given.get("working-directory"):
        os.chdir(given["working-directory"])
    if verb in {"--version", "-v"}:
        sys.stdout.write(f"Version:      {version}\n")
        return 0
    try:
        if verb == "run":
            return Runners(path, version, say, script).run()
        if verb == "run-single":
            return single(path, given, version, say, script)
        if verb == "verify":
            return verify(path, version, say)
        if verb == "unregister":
            return unregister(path, given, version, say)
        raise Fatal(f"No help topic for '{verb}'")
    except (Fatal, OSError, ValueError) as error:
        say.write("fatal", str(error))
        return 1
