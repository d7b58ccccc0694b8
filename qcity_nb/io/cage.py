"""The launcher that shuts a command in: `python -I -S cage.py SPEC ARGV...`, where SPEC is JSON and the environment is handed on as it is.

Standard library only, because it runs before any environment is prepared and, as root, with nothing but itself to trust. In mode `bwrap` it
stages what the cage shows where another uid can reach it, drops to that uid and becomes bubblewrap; in mode `keep` it stays as the parent
that ends every process the command leaves behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
STAGE = "/tmp"  # covered by a tmpfs in a mount namespace of our own, so every uid can walk through it
CGROUPS = "/sys/fs/cgroup"

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), options.encode() if options else None),
        f"mount {target}",
    )


def words(error: BaseException) -> str:
    """An error as a person reads it: what was refused and about what, without the number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def stage(paths: list[str]) -> list[str]:
    """Where each of `paths` can be reached by any uid, in a mount namespace of our own. Root only.

    The files are opened first, because the staging place may cover them.
    """
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    handles = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]
    _mount("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    places = []
    for number, handle in enumerate(handles):
        place = f"{STAGE}/{number}"
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            os.mkdir(place, 0o755)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(f"/proc/self/fd/{handle}", place, None, MS_BIND | MS_REC)
        os.close(handle)
        places.append(place)
    return places


def join_cgroups(name: str, limits: dict[str, int | None]) -> bool:
    """Put this process into control groups of its own with the memory limit; False when this machine does not let us."""
    memory = limits.get("memory")
    for root, setting, swap in (
        (f"{CGROUPS}/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        (CGROUPS, "memory.max", "memory.swap.max"),
    ):
        folder = f"{root}/{name}"
        try:
            os.makedirs(folder, exist_ok=True)
            if memory is not None:
                _write(f"{folder}/{setting}", str(memory))
                if os.path.exists(f"{folder}/{swap}"):
                    _write(f"{folder}/{swap}", "0" if setting == "memory.max" else str(memory))
            _write(f"{folder}/cgroup.procs", str(os.getpid()))
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
            continue
        return True
    return False


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def limit(limits: dict[str, int | None], *, memory: bool, processes: bool) -> None:
    """Set the limits that every process of the cage inherits.

    Args:
        memory: whether no control group holds the memory, so that each process has to be held by itself.
        processes: whether the uid is the cage's own, so that counting its processes is fair.
    """
    wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: limits.get("file_size")}
    if memory:
        wanted[resource.RLIMIT_DATA] = limits.get("memory")
    if processes:
        wanted[resource.RLIMIT_NPROC] = limits.get("processes")
    for which, value in wanted.items():
        if value is not None:
            hard = resource.getrlimit(which)[1]
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (allowed, allowed))


def drop(uid: int | None) -> None:
    """Become `uid` for ever, with no groups and no way to gain rights."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _text_fd(text: str) -> int:
    handle = os.memfd_create("text", 0)
    os.write(handle, text.encode())
    os.lseek(handle, 0, os.SEEK_SET)
    os.set_inheritable(handle, True)
    return handle


def bwrap(spec: dict[str, Any], argv: list[str]) -> NoReturn:
    """Become bubblewrap: as `uid` when we are root, else as who we are."""
    uid, work, readable = spec["uid"], spec["work"], spec["readable"]
    program, sources, held = spec["bwrap"], [work, *readable], False
    if spec["cgroup"]:
        held = join_cgroups(spec["cgroup"], spec["limits"])
    if uid is not None:
        # The whole folder above the wheel's program is staged: its libraries are found relative to it.
        above = spec["bwrap_root"]
        places = stage([*sources, *([above] if above else [])])
        if above:
            program = places.pop() + program[len(above) :]
        sources = places
    args = [program, *spec["args"]]
    for name, text in spec["texts"].items():
        args += ["--ro-bind-data", str(_text_fd(text)), name]
    args += ["--bind", f"{sources[0]}/{spec['tmp']}", "/tmp"] if spec["tmp"] else []
    for source, target in zip(sources[1:], readable, strict=True):
        args += ["--ro-bind", source, target]
    args += ["--bind", sources[0], work, "--chdir", work, "--remount-ro", "/", "--", *spec["inner"], *argv]
    limit(spec["limits"], memory=not held, processes=uid is not None)
    drop(uid)
    os.execv(program, args)


def keep(spec: dict[str, Any], argv: list[str]) -> int:
    """Run the command under this process, then end whatever it left behind. Returns its exit code."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0), "pdeathsig")
    held = join_cgroups(spec["cgroup"], spec["limits"]) if spec["cgroup"] else False
    uid = spec["uid"]
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.chdir(spec["work"])
            limit(spec["limits"], memory=not held, processes=uid is not None)
            drop(uid)
            if spec["landlock"]:
                landlock(spec["work"], spec["readable"], spec["system"])
            os.execvpe(argv[0], argv, dict(os.environ))
        except BaseException as error:  # noqa: BLE001 - the child must never return into the parent's code
            os.write(2, f"cage: {words(error)}\n".encode())
            os._exit(127)
    signal.signal(signal.SIGTERM, lambda *_: (kill_rest(uid), os._exit(143)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = _wait_for(child)
    left = kill_rest(uid)
    os.write(1, json.dumps({"leftovers": left}).encode() + b"\n")
    return code


def _wait_for(child: int) -> int:
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except InterruptedError:
            continue
        if pid == child:
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, the nearest first."""
    found: list[int] = []
    queue = [pid]
    while queue:
        parent = queue.pop(0)
        try:
            threads = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{parent}/task/{thread}/children") as file:
                    below = [int(one) for one in file.read().split()]
            except OSError:
                continue
            found += below
            queue += below
    return found


def kill_rest(uid: int | None) -> int:
    """Kill every descendant until there is none, a chain that forks and exits included; how many the first look found."""
    first: int | None = None
    while True:
        below = descendants(os.getpid())
        first = len(below) if first is None else first
        if uid is not None:
            _kill_all_of(uid)
        for pid in below:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, 0 if below else os.WNOHANG)[0]:
                below = below[1:]
        except ChildProcessError:
            return first


def _kill_all_of(uid: int) -> None:
    """kill(-1) as the cage's own uid: one call that no fork can slip through."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def landlock(work: str, readable: list[str], system: list[str]) -> None:
    """Let this process write below `work` only and read there, in `readable` and in the system. Silent where the kernel lacks it.

    Source: https://docs.kernel.org/userspace-api/landlock.html (access rights of ABI 1 to 3).
    """
    create, add, restrict = 444, 445, 446
    abi = _libc.syscall(create, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return
    every = (1 << (13 if abi == 1 else 14 if abi == 2 else 15)) - 1
    read = 0b1101  # execute, read a file, list a folder
    rules = _libc.syscall(create, ctypes.byref(ctypes.c_uint64(every)), ctypes.c_size_t(8), 0)
    if rules < 0:
        return
    for path, rights in [(work, every), ("/dev", every), ("/proc", read), *((one, read) for one in [*system, *readable])]:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        # Rights over folders cannot be given for a file.
        allowed = rights if os.path.isdir(path) else rights & (0b111 if rights == every else 0b101)
        rule = allowed.to_bytes(8, "little") + handle.to_bytes(4, "little")
        _check(_libc.syscall(add, rules, 1, ctypes.create_string_buffer(rule, len(rule)), 0), f"landlock {path}")
        os.close(handle)
    _check(_libc.syscall(restrict, rules, 0), "landlock")


def main() -> int:
    """Read the specification from the first argument and do it."""
    spec, argv = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        if spec["mode"] == "bwrap":
            bwrap(spec, argv)
        return keep(spec, argv)
    except OSError as error:
        sys.stderr.write(f"cage: {words(error)}\n")
        return 126


if __name__ == "__main__":
    sys.exit(main())
