"""The attendant: one process that looks after all agents of a place.

It looks at this machine every few seconds and at each platform once a minute, says what it found and proved, and does what the engine asks.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from ....decide import repair
from ....decide import symptoms as see
from ....decide.failures import BY_CODE, diagnose
from ....errors import NotFound, PlatformError, QCityError, Refused
from ....io import fence, secrets, spool
from ....model.agent import OWNED, Act, Evidence, Reach, Remote
from ....model.home import Home
from ....model.service import Phase
from ....model.wire import Advice, AgentCard, AgentView, Did, Do, Fact, Order, Proven, Stranger, Watch, Well
from ....ports import Forge
from ... import forges
from . import acts, discover, evidence, gitlab, packages, questions
from . import memory as memories
from .patient import Patient, options_of
from .scope import Scope, View

LOOK = float(os.environ.get("QCITY_ATTENDANT_LOOK", "5"))
"""Seconds between two looks at this machine; tests look faster."""
POLL = float(os.environ.get("QCITY_ATTENDANT_POLL", "60"))
DISCOVER = 60.0
TOLD_EVERY = timedelta(seconds=60)
BEAT = 1.0
LEFT_ALONE = acts.Result(text="nothing was done: this place does not hold its claim now")
SEEN_UP = ("listening", "running", "completed", "gl_ready", "gl_received", "gl_over")


class Attendant:
    """The loop.

    Args:
        home, name, incarnation: whose life this is.
        place: the place's id, for the label that our registrations carry.
    """

    def __init__(self, home: Home, name: str, incarnation: int, *, place: str) -> None:
        self.home, self.name, self.incarnation = home, name, incarnation
        self.owned = f"{OWNED}-{place[:8]}"
        home.service(name).mkdir(parents=True, exist_ok=True)
        self.bell = spool.Doorbell(home.worker_bell(name))
        self.patients: dict[str, Patient] = {}
        self.scopes: dict[tuple[str, str, str, str], Scope] = {}
        self.stopping = False
        self._offset, self._looked, self._discovered = 0, 0.0, 0.0

    def run(self) -> None:
        """Look, say, do, until SIGTERM."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self.stopping:
            self._beat()
            self._obey()
            if time.monotonic() - self._looked >= LOOK:
                self._looked = time.monotonic()
                self._look_at_all()
            if time.monotonic() - self._discovered >= DISCOVER:
                self._discover()
            select.select([self.bell.fd], [], [], min(BEAT, LOOK))
            self.bell.clear()
        for patient in self.patients.values():
            patient.canary.close()
        for scope in self.scopes.values():
            scope.close()

    def say(self, fact: Fact) -> None:
        """Report to the engine."""
        with contextlib.suppress(OSError):  # a full disk: it is said again at a later look
            spool.append(self.home.facts(self.name, self.incarnation), fact)
            spool.ring(self.home.doorbell)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _wake(self) -> None:
        spool.ring(self.bell.path)

    def _beat(self) -> None:
        with contextlib.suppress(OSError):
            path = self.home.beat(self.name)
            path.touch(mode=0o600)
            os.utime(path)

    def _obey(self) -> None:
        orders: list[Order]
        orders, self._offset = spool.read(self.home.orders(self.name, self.incarnation), self._offset, Order)  # type: ignore[arg-type]
        for order in orders:
            if isinstance(order, Watch):
                self._watch(order.agents)
            elif isinstance(order, Do):
                self._do(order)

    def _watch(self, cards: Sequence[AgentCard]) -> None:
        """These are the agents. What is known of each is said again at the next look."""
        patients = {}
        for card in cards:
            known = self.patients.get(card.name)
            options = options_of(card)
            if known is None or known.options != options or known.card.incarnation != card.incarnation:
                fresh = Patient(card, self.home)
                fresh.well = known.well if known else 0
                known = fresh
            known.card, known.told = card, None
            if card.phase == Phase.STARTING.value:
                known.well = min(known.well, card.incarnation - 1)
            patients[card.name] = known
        for known in set(self.patients.values()) - set(patients.values()):
            known.canary.close()
        self.patients = patients
        self._looked = 0.0

    def _scope(self, patient: Patient) -> Scope | None:
        options = patient.options
        if not options.scope or not options.token:
            return None
        key = (options.forge, options.url, options.scope, options.token)
        if key not in self.scopes:

            def connect() -> Forge:
                return forges.connect(options.wanted("", ()), secrets.load(self.home, options.token))

            self.scopes[key] = Scope(connect, url=options.url, wake=self._wake, poll=POLL)
        return self.scopes[key]

    def _look_at_all(self) -> None:
        now = datetime.now(timezone.utc)
        for patient in list(self.patients.values()):
            try:
                self._look(patient, now)
            except OSError as error:
                sys.stderr.write(f"{patient.card.name} could not be looked at: {error}\n")
        for key, scope in list(self.scopes.items()):
            mine = [one for one in self.patients.values() if self._scope(one) is scope]
            if not mine:
                self.scopes.pop(key).close()
                continue
            working = {one.memory.id: one.memory.name for one in mine if one.memory.id and (one.seen.worker or one.busy or one.crashed)}
            scope.watched = working | {id_: name for one in mine for id_, name in one.memory.lost.items()}

    def _look(self, patient: Patient, now: datetime) -> None:
        card, scope = patient.card, self._scope(patient)
        phase = Phase(card.phase)
        local = patient.look(now)
        view = scope.view if scope is not None else View()
        twins: tuple[int, ...] = ()
        speaks = scope is not None and patient is self._speaker(scope)
        if scope is not None and speaks:
            mine = {one.memory.id for one in self.patients.values() if one.memory.id}
            all_memories = {name: one.memory for name, one in self.patients.items() if self._scope(one) is scope}
            twins = evidence.unused_twins(view, all_memories, mine=mine, owned=self.owned, since=scope.unheard, now=now)
        found = evidence.gather(
            now,
            patient.about,
            local,
            view,
            patient.memory,
            labels=(*card.labels, self.owned) if not patient.foreign else (),
            twins=twins,
        )
        found = found if speaks else replace(found, unmatched=())
        patient.last = found
        if found.remote is not None and found.remote.online:
            patient.memory.last_online = now.timestamp()
        patient.learn(found)
        self._sing(patient, idle=phase is Phase.RUNNING and found.alive and not see.working(found))
        if phase is Phase.STARTING:
            self._see_up(patient, found, scope)
        elif (phase is Phase.RUNNING and found.alive) or phase in (Phase.STOPPED, Phase.QUARANTINED):
            self._verify(patient, found, scope)
            self._judge(patient, found)
        self._tell(patient, found, now)

    def _speaker(self, scope: Scope) -> Patient | None:
        """Which agent of a scope is told of what concerns all of them: the first that lives, else the first."""
        ours = sorted((one.card.phase != Phase.RUNNING.value, name) for name, one in self.patients.items() if not one.foreign)
        return next((self.patients[name] for _, name in ours if self._scope(self.patients[name]) is scope), None)

    def _sing(self, patient: Patient, *, idle: bool) -> None:
        """Its canary, when it is time for one; what it found is said and remembered."""
        if (look := patient.canary.step(patient.memory, idle=idle)) is not None:
            patient.save()
            self.say(look)

    def _verify(self, patient: Patient, found: Evidence, scope: Scope | None) -> None:
        """A runner whose own token is refused: its platform is asked whether it is still good."""
        refused = any(clue.name in ("gl_forbidden", "gl_unhealthy") for clue in found.clues)
        if not refused or patient.refused or scope is None or patient.foreign or time.monotonic() - patient.verified < POLL:
            return
        patient.verified = time.monotonic()
        token = gitlab.token_of(patient.root)

        def ask(forge: Forge) -> None:
            patient.refused = "" if forge.verify(token) else "verify: forbidden"

        scope.ask(ask)

    def _see_up(self, patient: Patient, found: Evidence, scope: Scope | None) -> None:
        """Whether a starting agent is up: it says that it listens, and its platform, asked after that, agrees if it can be asked."""
        up = found.alive and any(clue.name in SEEN_UP for clue in found.clues)
        if not up or patient.well >= patient.card.incarnation:
            return
        patient.memory = memories.load(self.home, patient.card.name)  # the opening has written it since
        if patient.memory.life != patient.card.incarnation:
            return  # its opening is not over: what looks like the agent is left of an earlier life
        view = scope.view if scope is not None else View()
        blind = scope is None or view.reach not in (Reach.FINE, Reach.UNKNOWN)
        remote = view.of(patient.memory.id, patient.memory.name)
        asked = view.checked is not None and view.checked.timestamp() >= patient.memory.opened
        if scope is not None and not blind and (not asked or remote is None or not remote.online):
            scope.look_soon()
            return
        patient.well = patient.card.incarnation
        if (version := packages.installed(patient.root)) and version not in patient.memory.good:
            patient.memory.good = [*patient.memory.good[-5:], version]
        self._close_repair(patient, found, remote)
        proof = "its log says that it listens" + ("; its platform could not be asked" if blind else ", and its platform shows it online")
        self.say(Well(service=patient.card.name, incarnation=patient.card.incarnation, proof=proof))

    def _close_repair(self, patient: Patient, found: Evidence, remote: Remote | None) -> None:
        """What this start repaired has proved itself."""
        _, patient.memory.repair = repair.consider((), replace(found, remote=remote), patient.memory.repair)
        patient.save()

    def _judge(self, patient: Patient, found: Evidence) -> None:
        """Classify, and say what is to be done and what was proved."""
        before = patient.memory.repair
        findings = [one for one in diagnose(found) if found.alive or patient.foreign or one.code in repair.RESTING]
        verdicts, patient.memory.repair = repair.consider(findings, found, before)
        for verdict in verdicts:
            if isinstance(verdict, repair.Proved):
                self.say(Proven(service=patient.card.name, code=verdict.code, how=verdict.how))
            elif isinstance(verdict, repair.Step):
                self._advise(patient, verdict)
        if patient.memory.repair != before:
            patient.save()

    def _advise(self, patient: Patient, step: repair.Step) -> None:
        finding, row = step.finding, BY_CODE[step.finding.code]
        self.say(
            Advice(
                service=patient.card.name,
                incarnation=patient.card.incarnation,
                code=finding.code,
                title=row.title,
                cause=finding.cause,
                act=step.act.value,
                evidence=finding.evidence,
                todo=finding.todo,
                human=step.act is Act.HOLD,
            )
        )

    def _tell(self, patient: Patient, found: Evidence, now: datetime) -> None:
        """Say how its platform shows it, when that changed, and once a minute."""
        scope = self._scope(patient)
        view = scope.view if scope is not None else View()
        known = view.of(patient.memory.id, patient.memory.name)
        note = "" if view.reach in (Reach.FINE, Reach.UNKNOWN) else f"its platform {view.reach.value} ({view.text})"
        if not note and see.skewed(found):
            note = f"{see.clock_off(found)[0]}: timedatectl set-ntp true"
        busy = bool(found.worker) or (found.remote is not None and found.remote.busy)
        told = AgentView(
            service=patient.card.name,
            id=known.id if known else patient.memory.id,
            name=known.name if known else patient.memory.name,
            online=known.online if known else (False if found.absent else None),
            busy=busy,
            labels=known.labels if known else (),
            version=packages.installed(patient.root),
            url=f"{patient.options.url}/{patient.options.scope}".strip("/"),
            note=note,
            checked=view.checked,
        )
        before = patient.told
        same = before is not None and msgspec.structs.replace(before, checked=told.checked) == told
        if not same or now - patient.told_at >= TOLD_EVERY:
            patient.told, patient.told_at = told, now
            self.say(told)

    def _do(self, order: Do) -> None:
        """Do what the engine asks, and answer. What needs a platform is done by a thread."""
        if order.key.startswith("command/"):
            threading.Thread(target=self._reply, args=(order,), name="qcity-question", daemon=True).start()
            return
        if (patient := self.patients.get(order.service)) is None:
            self.say(Did(service=order.service, key=order.key, text="it is not known here"))
            return
        case = self._case(patient)
        if order.act in acts.LOCAL:
            self._answer(order, patient, lambda: acts.LOCAL[order.act](case, None))
            return
        scope = self._scope(patient)
        if order.act == Act.SLOW.value and scope is not None:
            scope.slow_down()
            self.say(Did(service=order.service, key=order.key, text="its platform is asked every 5 minutes until it has time again"))
        elif order.act in acts.REMOTE and scope is not None:
            scope.ask(lambda forge: self._answer(order, patient, lambda: acts.REMOTE[order.act](case, forge) if self._may(patient) else LEFT_ALONE))
            scope.look_soon()
        else:
            self.say(Did(service=order.service, key=order.key, text=""))

    def _may(self, patient: Patient) -> bool:
        """Whether something may be done in an agent's name now: under a claim only until its fence is over, whoever asked for it before."""
        return not patient.card.claim or not fence.is_over(self.home.service(patient.card.name))

    def _reply(self, order: Do) -> None:
        """Find out what a person asked."""
        patient = self.patients.get(order.service)

        def find_out() -> dict[str, object]:
            if order.act == "discover":
                return {"agents": self._discover()}
            if order.act == "plan":
                return questions.plan(self.home, order.args, owned=self.owned)
            if order.act == "delete":
                return questions.delete(self.home, order.args)
            if patient is None:
                raise NotFound(f'there is no agent "{order.service}"', "Only runners of GitHub and GitLab have labels on a platform")
            if not self._may(patient):
                raise Refused(f"this place does not hold {patient.card.claim} now", "Ask at the place that does: qcity fleet status")
            return questions.labels(self.home, order.service, patient.options, order.args, owned=self.owned)

        found, error, todo = questions.answer(find_out)
        self.say(Did(service=self.name, key=order.key, text="", answer=found, error=error, todo=todo))

    def _discover(self) -> list[dict[str, object]]:
        """The agents of others on this machine; each is told of, so that it is watched from now on."""
        ours = {int(pid) for one in self.patients.values() if not one.foreign and (pid := one.pid)}
        found = discover.agents(ours)
        names = {one.card.name: one for one in self.patients.values() if one.foreign}
        told: list[dict[str, object]] = []
        for one in found:
            name = discover.name_of(one, taken={card for card, patient in self.patients.items() if not patient.foreign})
            options: dict[str, object] = {**asdict(one)}
            options["token"] = f"{one.forge}-{one.url.partition('://')[2]}" if one.scope else ""
            self.say(Stranger(service=name, alive=True, pid=one.pid, options=options))
            names.pop(name, None)
            told.append({"name": name, **options})
        for name, gone in names.items():
            self.say(Stranger(service=name, alive=False, options=dict(gone.card.options)))
        self._discovered = time.monotonic()
        return told

    def _answer(self, order: Do, patient: Patient, act: Any) -> None:
        try:
            result: acts.Result = act()
        except (QCityError, OSError) as error:
            what = error.what if isinstance(error, QCityError) else str(error)
            kind = error.kind if isinstance(error, PlatformError) else "failed"
            result = acts.Result(text=f"{order.act}: {what}", refused=f"{order.act}: {kind}")
        if result.refused or result.proof or order.act in ("leave", Act.DELETE.value):  # what says nothing of it leaves it as it was
            patient.refusals = patient.refusals + 1 if result.refused else 0
            patient.refused = result.refused.replace("leave", "delete")
        if not result.refused and patient.last is not None:
            patient.mended(patient.last.clues)
        self.say(Did(service=order.service, key=order.key, text=result.text, busy=result.busy))
        if result.proof and (code := order.code):
            patient.memory.repair = replace(patient.memory.repair, open=None)
            self.say(Proven(service=order.service, code=code, how=result.proof))
        patient.save()

    def _case(self, patient: Patient) -> acts.Case:
        card, last = patient.card, patient.last
        return acts.Case(
            name=card.name,
            root=patient.root,
            pid=card.pid,
            seen=patient.seen,
            memory=patient.memory,
            owned=self.owned,
            labels=card.labels,
            twins=last.twins_offline if last else (),
            job=last.job if last else None,
        )
