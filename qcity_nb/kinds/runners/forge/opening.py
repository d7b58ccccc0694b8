"""The first half of an agent's life: look what happened to the last one, mend what has to be mended, install, register, and become the agent.

Our process turns into the official program by exec, so the engine supervises that program itself and nothing stands between them.
While a platform cannot be reached it waits here; that is said, and costs no restart.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

from ....decide import agentlog, repair
from ....decide import symptoms as see
from ....decide.failures import BY_CODE, diagnose
from ....decide.failures import todo as next_step
from ....decide.wording import span
from ....errors import PlatformError, QCityError
from ....io import secrets, spool
from ....model.agent import OWNED, TOKENS, Act, Evidence, Finding, Package, Reach, Remote, Wanted
from ....model.home import Home
from ....model.wire import Advice, Did, Fact, Mend, Order, Trouble
from ....ports import Forge, Registration
from ... import forges
from . import acts, canary, evidence, hook, look, packages, tempo
from . import memory as memories
from .options import Options, clean
from .program import Program

T = TypeVar("T")

HOLD = 75
"""Our exit code when only a person can go on (EX_TEMPFAIL of sysexits.h)."""
WAITS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds between two tries to reach a platform; the last one from then on."""
SESSION_WAIT = timedelta(minutes=4)
OUR_DOING = frozenset({"F11", "F12", "F40"})
PASSING = frozenset({"unreachable", "limited", "server", "garbled"})


class Hold(Exception):
    """Only a person can go on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.cause)
        self.finding = finding


class Opening:
    """One start of one agent.

    Args:
        home, name, incarnation: whose life this is.
        place: the place's id; what we register carries it.
        epoch: of its claim, 0 when it has none; the name of what we register carries it.
        options: what it was told.
        program: the agent's own ways.
        pause: waits; tests give another.
    """

    def __init__(
        self, home: Home, name: str, incarnation: int, *, place: str, options: Options, program: Program, epoch: int = 0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.home, self.name, self.incarnation, self.place = home, name, incarnation, place
        self.options, self.program, self.epoch, self._pause = options, program, epoch, pause
        self.root = home.service(name) / "agent"
        self.memory = memories.load(home, name)
        self.owned = f"{OWNED}-{place[:8]}"
        self.forge: Forge
        self.remote: Remote | None = None
        self.absent = self.copied = False
        self.troubled = ""

    def run(self) -> tuple[list[str], dict[str, str], Path]:
        """The program to become, its environment and its folder.

        Raises:
            Hold: only a person can go on; it has been said.
        """
        token = self._token()
        self.forge = forges.connect(self._wanted(), token)
        mends = self._told_to_mend()
        wanted = self._mend(mends, self._examine(mends))
        self._keep_the_clock(forced=Act.WAIT_CLOCK in wanted)
        self._install(fresh=bool(wanted & {Act.INSTALL, Act.RENEW}))
        if Act.RENEW in wanted or self.memory.canary_failures >= see.CANARIES:
            self._prove()
        if self.options.hooks:
            hook.write(self.root, home=self.home, name=self.name, url=self.options.url)
        given = self._register(anew=bool(wanted & {Act.REGISTER, Act.RENAME}), renamed=Act.RENAME in wanted)
        self._resume()
        argv, more = self.program.command(self.root, self.options, given)
        self.memory.fingerprint, self.memory.life, self.memory.opened = memories.machine(), self.incarnation, time.time()
        memories.save(self.home, self.name, self.memory)
        self.tell(Trouble(about="platform", text=""))
        return argv, {**clean(os.environ), **more}, self.root

    def tell(self, fact: Fact) -> None:
        """Report to the engine; a disk that is full keeps it silent, not dead."""
        try:
            spool.append(self.home.facts(self.name, self.incarnation), fact)
            spool.ring(self.home.doorbell)
        except OSError as error:
            say(f"the disk does not take a report: {error}")

    def did(self, text: str) -> None:
        """Say what was done, in the log and in the open incident."""
        say(text)
        self.tell(Did(service=self.name, text=text))

    def _wanted(self, name: str = "") -> Wanted:
        return self.options.wanted(name or self.name, (*self.options.labels, self.owned))

    def _token(self) -> str:
        try:
            return secrets.load(self.home, self.options.token)
        except QCityError as error:
            raise Hold(self._finding("F22", str(error))) from error

    def _finding(self, code: str, line: str, todo: str = "") -> Finding:
        row = BY_CODE[code]
        known = Evidence(at=tempo.now(), name=self.name, scope=self.options.scope, root=str(self.root), forge=self.program.forge)
        return Finding(code=code, cause=row.cause, act=Act.HOLD, trust=row.trust, evidence=(line,), todo=todo or next_step(code, known))

    def _told_to_mend(self) -> list[Mend]:
        """What the engine ended the last life for."""
        orders: list[Order]
        orders, _ = spool.read(self.home.orders(self.name, self.incarnation), 0, Order)  # type: ignore[arg-type]  # a union is a type to msgspec
        return [order for order in orders if isinstance(order, Mend)]

    def _examine(self, mends: list[Mend]) -> list[Finding]:
        """What ended the last life, as far as it can be seen from here. One that we ended to mend it was killed by nobody else."""
        now, ended = datetime.now(timezone.utc), look.ended(self.home, self.name, self.incarnation - 1)
        clues, silence = look.log_of(self.home.service(self.name), self.root, now=now)
        say(f"{look.MARKER}{self.incarnation}", mark=True)
        self._ask_platform()
        free, share, inodes = look.disk(self.home.root)
        id_ = self.program.configured(self.root)
        self.copied = bool(self.memory.fingerprint) and self.memory.fingerprint != memories.machine()
        updated = ended is not None and ended.code in (3, 4) and packages.installed(self.root) == self.memory.version
        self.memory.update_starts = self.memory.update_starts + 1 if updated else 0
        seen = Evidence(
            at=tempo.now(),
            name=self.name,
            scope=self.options.scope,
            root=str(self.root),
            forge=self.program.forge,
            life=self.incarnation - 1,
            ephemeral=self.options.ephemeral,
            ended=ended,
            twin=look.twin(self.root, None),
            silence=tempo.told(silence),
            clues=evidence.counted(clues),
            worker_code=agentlog.worker_code(clues),
            reach=Reach.FINE,
            skew=self.forge.skew(),
            remote=self.remote,
            absent=self.absent and self.memory.id is not None,
            configured=id_ is not None,
            fingerprint_differs=self.copied,
            version=packages.installed(self.root),
            update_failed=any(self.root.glob("_diag/SelfUpdate-*.failed")),
            same_version_starts=self.memory.update_starts,
            free_disk=free,
            free_disk_share=share,
            free_inodes_share=inodes,
        )
        if see.lost_under(seen) and self.memory.id is not None:
            self.memory.lost = {**self.memory.lost, self.memory.id: self.memory.name}  # the attendant sees to its job
        found = [one for one in diagnose(seen) if not (mends and one.code in OUR_DOING)] if self.incarnation > 1 or self.memory.life else []
        verdicts, self.memory.repair = repair.consider(found, seen, self.memory.repair)
        self.memory.begun = self.incarnation
        memories.save(self.home, self.name, self.memory)
        steps = [one for one in verdicts if isinstance(one, repair.Step)]
        for step in steps:
            if step.act is Act.HOLD:
                raise Hold(step.finding)
            self.advise(step.finding, step.act)
        return [Finding(code=one.finding.code, cause=one.finding.cause, act=one.act, trust=one.finding.trust) for one in steps]

    def advise(self, finding: Finding, act: Act) -> None:
        """Say what was found and what is done about it."""
        say(f"{finding.code}: {finding.cause} ({'; '.join(finding.evidence)}): {act.value}")
        self.tell(
            Advice(
                service=self.name,
                incarnation=self.incarnation,
                code=finding.code,
                title=BY_CODE[finding.code].title,
                cause=finding.cause,
                act=act.value,
                evidence=finding.evidence,
                todo=finding.todo,
                human=act is Act.HOLD,
                mending=True,
            )
        )

    def _mend(self, mends: list[Mend], findings: list[Finding]) -> set[Act]:
        """The acts of this start: what was found here, and what the engine was told by the attendant. Waiting ones are done at once."""
        wanted = {finding.act for finding in findings} | {Act(order.act) for order in mends}
        if wanted & {Act.PURGE, Act.RENEW}:
            self.did(f"freed {acts.purge(self.root)} of old logs and work")
        if Act.RESESSION in wanted:
            self._outwait_session()
        return wanted

    def _outwait_session(self) -> None:
        """The old session ends by itself; its platform shows when."""
        end = time.monotonic() + tempo.real(SESSION_WAIT)
        while self.remote is not None and self.remote.online and time.monotonic() < end:
            self._trouble("an old session of it is still alive; it waits for that to end")
            self._pause(tempo.real(timedelta(seconds=15)))
            self._ask_platform()
        self.did("waited for the old session to end")

    def _keep_the_clock(self, *, forced: bool) -> None:
        waited = False
        while (skew := self.forge.skew()) is not None and abs(skew) >= timedelta(seconds=60):
            waited = True
            off = f"this machine's clock differs by {span(abs(skew))} from its platform's"
            self._trouble(f"{off}: set it (timedatectl set-ntp true); it waits for that")
            self._pause(tempo.real(timedelta(seconds=10)))
            self._ask_platform()
        if waited or forced:
            self.did("waited until the clock agreed with the platform's; nothing was registered again")

    def _ask_platform(self) -> None:
        """Its registration as the platform has it, if it has one."""
        memory = self.memory

        def ask() -> Remote | None:
            return self.forge.runner(memory.id) if memory.id else self.forge.find(memory.name or self.name)

        self.remote = self._patiently(ask, "look")
        self.absent = self.remote is None

    def _install(self, *, fresh: bool) -> None:
        root, memory, have = self.root, self.memory, packages.installed(self.root)
        if fresh and have:
            memory.failed = [*{*memory.failed, have} - set(memory.good)]
            memory.update_starts = 0
            for trace in root.glob("_diag/SelfUpdate-*.failed"):
                trace.rename(trace.with_suffix(".mended"))  # it counts no more
        if have and not fresh and (not self.options.version or have == self.options.version):
            return
        pristine = None
        if self.options.version and self.options.version in packages.cached(self.home, self.program.forge):
            pristine = self.home.root / "packages" / self.program.forge / self.options.version
        if pristine is None:
            pristine = self._newest(fresh=fresh)
        packages.install(pristine, root)
        memory.version = pristine.name
        self.did(f"installed version {pristine.name}" + (" afresh" if fresh and have == pristine.name else f", it was {have}" if have else ""))

    def _prove(self) -> None:
        """After failures it is given jobs only when its canary passes. Raises `Hold` when it does not."""
        begun = time.monotonic()
        look = canary.judge(self.name, canary.run(self.root, self.options.url), self.memory, took=time.monotonic() - begun)
        memories.save(self.home, self.name, self.memory)
        self.tell(look)
        if not look.ok:
            raise Hold(self._finding("F41", f"its canary fails after the repair, too: {look.text}"))
        self.did("its canary passes now, before any job")

    def _newest(self, *, fresh: bool) -> Path:
        """The folder of the best version: the newest offered that has not failed here, else the last good one."""
        memory, forge = self.memory, self.program.forge
        offered = self._patiently(lambda: list(self.forge.packages()), "list the releases")
        chosen: Package | None = packages.choose(offered, pinned=self.options.version, failed=frozenset(memory.failed))
        if chosen is None:
            back = [version for version in packages.cached(self.home, forge) if version in memory.good]
            if back:
                self.did(f"version {offered[0].version} failed here: back to {back[0]}")
                return self.home.root / "packages" / forge / back[0]
            chosen = max(offered, key=lambda package: packages.order(package.version))
        if fresh:
            shutil.rmtree(self.home.root / "packages" / forge / chosen.version, ignore_errors=True)
        package = chosen
        return self._patiently(lambda: packages.fetch(self.home, forge, package), f"download version {package.version}")

    def _register(self, *, anew: bool, renamed: bool) -> Registration | None:
        """Make a registration where one is needed. None when the one that is there goes on."""
        memory, program = self.memory, self.program
        each_life = self.options.ephemeral and program.single_use
        older = bool(self.epoch) and f"-e{self.epoch}" not in memory.name  # each epoch has a registration of its own: an older one can be told
        if (there := program.configured(self.root)) is not None and not each_life and not anew and not self.absent and not older:
            memory.id, memory.name = memory.id or there or None, memory.name or self.name  # a home may have lost its memory
            return None
        memory.renames += renamed
        if self.copied:
            memory.known = {}  # they are the other machine's
        elif memory.id is not None and not (renamed and self.remote is not None and self.remote.online):  # then another copy lives by it
            self._forget(memory.id)
        given, wanted = self._registered()
        memory.id, memory.name = (given.id if given.jit else program.configured(self.root) or given.id), wanted.name
        if memory.id is not None:
            memory.known = {**memory.known, memory.id: wanted.name}
        memories.save(self.home, self.name, memory)
        self.did(f"registered as {wanted.name}")
        return given

    def _resume(self) -> None:
        """A registration that was drained is given jobs again."""
        remote = self.remote
        if remote is None or remote.id != self.memory.id:
            return
        if remote.paused:
            self._patiently(lambda: self.forge.pause(remote.id, paused=False), "resume")
        elif self.program.forge == "github" and not set(self.options.labels) <= set(remote.labels):
            self._patiently(lambda: self.forge.set_labels(remote.id, [*self.options.labels, self.owned]), "give it its labels")

    def _registered(self) -> tuple[Registration, Wanted]:
        """A registration under a name that is free. An ephemeral agent has a new name in each life, because the old one is let go of late."""
        each_life, tries, missed = self.options.ephemeral and self.program.single_use, 0, False
        suffix = (f"-{self.place[:6]}-{self.incarnation}" if each_life else "") + (f"-e{self.epoch}" if self.epoch else "")
        while tries < 3:
            number = self.memory.renames
            wanted = self._wanted(f"{self.name}{suffix}" + (f"-r{number}" if number else ""))
            self.program.unconfigure(self.root)
            try:
                given = self._patiently(lambda wanted=wanted: self.forge.register(wanted), "register")  # type: ignore[misc]  # no defaults for mypy
                if not given.jit:
                    self.program.configure(self.root, wanted, given, url=self.options.url)
                return given, wanted
            except PlatformError as error:
                finding = self._finding("F21" if error.kind == "not_found" else "F28", error.what)
                if error.kind == "not_found" and not missed:
                    missed = True  # the token may have been too old: a new one, once
                    self.advise(finding, Act.RETRY)
                elif error.kind == "conflict":
                    tries, self.memory.renames = tries + 1, self.memory.renames + 1
                    self.advise(finding, Act.RENAME)
                elif error.kind == "not_found":
                    raise Hold(finding) from error
                else:
                    raise
        raise Hold(self._finding("F28", f"{self.name} and three names like it are taken", "qcity runner start with another name"))

    def _forget(self, id_: int) -> None:
        """Delete our earlier registration, if it is idle. One that cannot be deleted now is deleted by the attendant later."""
        try:
            self.forge.remove(id_)
            self.memory.known = {key: name for key, name in self.memory.known.items() if key != id_}
        except PlatformError as error:
            say(f"its earlier registration {id_} stays for now: {error}")

    def _patiently(self, call: Callable[[], T], what: str) -> T:
        """Do a call to the platform; wait while it cannot be reached, however long that is.

        Raises:
            Hold: it refuses, and only a person can change that.
            PlatformError: the name is taken.
        """
        tries = denied = 0
        while True:
            try:
                result = call()
            except PlatformError as error:
                if error.kind == "conflict":
                    raise
                new = not self.memory.life  # a certificate that nobody trusts passes for one that has worked, never for one that is just set up
                if error.kind in PASSING and not (new and error.layer == "tls"):
                    wait = error.retry_after or WAITS[min(tries, len(WAITS) - 1)]
                    tries += 1
                    self._trouble(f"{error.what}; it waits and asks again ({what})")
                    self._pause(tempo.real(timedelta(seconds=wait)))
                    continue
                if error.kind == "not_found" and not denied:
                    denied += 1  # a token may have been a moment too new, or a repository was just made
                    self._pause(tempo.real(timedelta(seconds=2)))
                    continue
                code = {"not_found": "F21", "unreachable": "F30"}.get(error.kind, "F22")
                variable = f" ({TOKENS[self.program.forge][0]})" if code == "F22" else ""
                todo = f"{error.todo.rstrip('.')}{variable}, then qcity runner start {self.name}"
                raise Hold(self._finding(code, error.what, todo)) from error
            if self.troubled:
                self._trouble("")
            return result

    def _trouble(self, text: str) -> None:
        if text != self.troubled:
            self.troubled = text
            self.tell(Trouble(about="platform", text=text))
        if text:
            say(text)


def say(text: str, *, mark: bool = False) -> None:
    """One line in the service's log."""
    sys.stdout.write(f"{text}\n" if mark else f"qcity: {text}\n")
    sys.stdout.flush()
