"""The parent of every service: it starts the service while the lock is held, writes down who it is and how it ended, and lets nothing of it live on.

Run with `python -I -S keeper.py FD` it is a fork server: each request that arrives on socket FD becomes a keeper of its own,
in its own session, so a hundred of them share their memory and none of them ends with the engine. Standard library only, single-threaded.
A keeper is a subreaper: whatever its service double-forks or hands to a new session comes back to it and is ended with the service.
The keeper of a *fenced* service also minds the fence in its folder, so that the service ends in time although its engine was killed or stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import json
import os
import sys
import time

TYPE_CHECKING = False  # not that of `typing`, whose import costs two megabytes when there are a hundred keepers
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any
else:  # the plain ones: `signal` makes enums of numbers, which writes to a dozen pages
    import _signal as signal
    import _socket as socket

PR_SET_CHILD_SUBREAPER = 36
SIGNALS = frozenset(map(int, (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)))
PRCTL = ctypes.CDLL(None).prctl
PR_SET_PDEATHSIG = 1
REAP_SECONDS = 15.0
FENCE = "fence.json"
SPACE = socket.CMSG_SPACE(3 * 4)  # for three descriptors


def serve(channel: socket.socket) -> None:
    """The fork server's loop; it ends when the engine's end of the channel is closed.

    Every page that is written between two forks, here or in the keeper, is a page of that keeper's own, and counting references writes too.
    So both do as little as they can: the request is parsed by the process that becomes the service, and by the keeper when its wait is over.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # inherited by the keepers, which wait for them; a service gets a clean mask
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # an ended keeper leaves no zombie here
    gc.disable()
    gc.freeze()
    while True:
        raw, passed, _flags, _address = channel.recvmsg(1 << 20, SPACE)
        if not raw:
            return
        fds = memoryview(passed[0][2]).cast("i") if passed else ()  # none: out of descriptors
        if os.fork() == 0:
            code = 1
            try:
                code = keep(raw, channel.fileno(), *fds)
            finally:
                os._exit(code)
        for fd in fds:
            os.close(fd)
        del raw, passed, fds


def keep(raw: bytes, channel: int, lock: int, log: int, reply: int) -> int:
    """Start the service and stay until nothing of it lives. Returns the keeper's own exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # from here on ends are told, and zombies wait to be asked
    os.close(channel)
    os.setsid()
    PRCTL(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for standard in (1, 2):  # 0 is the fork server's: nothing to read
        os.dup2(log, standard)
    os.close(log)
    told, tell = os.pipe()
    main = os.fork()
    if main == 0:
        os.close(told)
        _become(raw, lock, tell)
    os.close(tell)
    error = os.read(told, 4096)
    os.close(told)
    if error:
        os.waitpid(main, 0)
        os.close(lock)
        os.write(reply, json.dumps({"error": error.decode("utf-8", "replace")}).encode())
        return 0
    os.write(reply, b'{"pid": %d, "keeper": %d}' % (main, os.getpid()))
    os.close(reply)
    first = None if _is_fenced(raw) else signal.sigwaitinfo(SIGNALS)  # nearly all of its life
    return _watch(json.loads(raw), main, first)


def children() -> list[int]:
    """The processes whose parent this one is, ended ones that nobody has waited for included."""
    try:
        return [int(pid) for pid in _text(f"/proc/self/task/{os.getpid()}/children").split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == os.getpid()]


def start_of(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone or a zombie. Source: proc(5), fields 3 and 22 of stat."""
    try:
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    """The kernel's name for this boot."""
    return _text("/proc/sys/kernel/random/boot_id").strip()


def kill_group(cgroup: str) -> None:
    """End every process of a control group at once, where there is one (cgroup v2, Linux 5.14)."""
    if cgroup:
        with contextlib.suppress(OSError):
            _write(f"{cgroup}/cgroup.kill", "1")


def write_whole(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Put a JSON file in one step. On a full disk it is written over the old one, whose space is there already.

    Raises:
        OSError: there was no old one either, or it is not only a full disk.
    """
    folder, name = os.path.split(path)
    part, text = f"{folder}/.{name}.{os.getpid()}", json.dumps(record)
    try:
        _write(part, text)
        os.rename(part, path)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        if error.errno != errno.ENOSPC:
            raise
        handle = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(handle, text.ljust(os.fstat(handle).st_size).encode(), 0)
        finally:
            os.close(handle)


def _become(raw: bytes, lock: int, tell: int) -> None:
    """In the child: write down who we are while the lock is held, then turn into the service."""
    try:
        request = json.loads(raw)
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if request["cgroup"]:
            with contextlib.suppress(OSError):
                _write(f"{request['cgroup']}/cgroup.procs", "0")
        if request.get("fenced"):
            PRCTL(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)  # nobody would mind the fence
            if _fence(request["folder"])[0] <= _total():
                raise OSError(errno.ETIME, "", "its claim")
        me, keeper = os.getpid(), os.getppid()
        who = {"pid": me, "start": start_of(me), "boot": boot_id(), "keeper": keeper, "keeper_start": start_of(keeper)}
        write_whole(f"{request['folder']}/proc.json", {**who, **{key: request[key] for key in ("incarnation", "generation", "cgroup")}})
        os.set_inheritable(lock, True)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) and error.errno != errno.ENOENT else request["argv"][0]
        if error.errno == errno.ENOENT and not os.path.isdir(request["cwd"]):
            what = request["cwd"]
        os.write(tell, f"{what}: {os.strerror(error.errno or 0)}".encode())
    finally:
        os._exit(127)


def _watch(request: dict[str, Any], main: int, seen: signal.struct_siginfo | None) -> int:
    kill_at: float | None = None
    fenced, wait = bool(request.get("fenced")), 3600.0
    while True:
        number = None if seen is None else seen.si_signo
        asked, over = number == signal.SIGTERM, False
        if fenced:
            stop, kill = _fence(request["folder"])
            asked, over = asked or stop <= _total(), kill <= _total()
            wait = _until_fence(stop, kill)
        if asked and kill_at is None:
            kill_at = time.monotonic() + _ask_to_stop(request, main)
        elif over or number == signal.SIGUSR1 or (kill_at is not None and kill_at <= time.monotonic()):
            os.kill(main, signal.SIGKILL)
            kill_group(request["cgroup"])
        status = _reap(main)
        if status is not None:
            break
        seen = signal.sigtimedwait(SIGNALS, wait if kill_at is None else max(0.0, min(wait, kill_at - time.monotonic())))
    folder: str = request["folder"]
    record: dict[str, Any] = {"incarnation": request["incarnation"], "leftovers": 0, "clean": False}
    record["code"] = os.waitstatus_to_exitcode(status) if not os.WIFSIGNALED(status) else None
    record["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    _tell(folder, record)  # first of all what is known now; the leftovers may take a moment
    record["leftovers"] = end_descendants(request["cgroup"])
    record["clean"] = True
    _tell(folder, record)
    if request["cgroup"]:
        with contextlib.suppress(OSError):
            os.rmdir(request["cgroup"])
    return 0


def _is_fenced(raw: bytes) -> bool:
    """Whether a request asks for a fence, without parsing it: within a value the quotes would be escaped."""
    return b'"fenced": true' in raw


def _fence(folder: str) -> tuple[float, float]:
    """When the service is asked to end, and when it is killed; both are long over when nobody says."""
    try:
        fence = json.loads(_text(f"{folder}/{FENCE}"))
        return float(fence["stop"]), float(fence["kill"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, 0.0


def _until_fence(stop: float, kill: float) -> float:
    """How long to wait before looking at the fence again. Never for long: a wait stands still while the machine sleeps, the fence does not."""
    now = _total()
    due = (stop if now < stop else kill) - now
    return max(0.01, min(due, max(0.05, (kill - stop) / 4)))


def _total() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _tell(folder: str, record: dict[str, Any]) -> None:
    """Write how it ended, if it can be written: ending the leftovers matters more, and an exit nobody could note is said to be unknown."""
    with contextlib.suppress(OSError):
        write_whole(f"{folder}/exit.json", record)


def end_descendants(cgroup: str) -> int:
    """Kill whatever has this process as its parent, again and again until nothing comes back to it. Returns how many were killed."""
    killed, deadline = 0, time.monotonic() + REAP_SECONDS
    while (pids := children()) and time.monotonic() < deadline:
        kill_group(cgroup)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed += _reap_all()
    return killed


def _ask_to_stop(request: dict[str, Any], main: int) -> float:
    """Send the stop signal; how many seconds of grace the service has."""
    try:
        asked = json.loads(_text(f"{request['folder']}/stop.json"))
    except (OSError, ValueError):
        asked = request
    os.kill(main, int(asked["stop_signal"]))
    os.kill(main, signal.SIGCONT)  # a stopped process cannot stop itself
    return float(asked["grace"])


def _reap(main: int) -> int | None:
    """Wait for every child that has ended; the status of `main` when it was among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == main:
                found = ended[1]
    return found


def _reap_all() -> int:
    count = 0
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            count += 1
    return count


def _parent(pid: int) -> int:
    try:
        return int(_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
