"""What must hold in a simulated world, at every moment (safety) and once faults have ceased (liveness). Each is a function that returns complaints.

They look at the machine and at what workers and people did, and hold the store against that: the engine's own word proves nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from ..decide import schedule as times
from ..model.schedule import RunState
from ..model.service import Desired, Phase, RestartPolicy
from ..model.tunnel import TunnelState
from ..model.work import Outcome, Status
from ..store import history, runs, services, tunnels, work
from ..store.schema import builds, commands, flips, jobs
from . import pilots
from .desk import NAME, Execution
from .world import World

Complaints = Iterator[str]
POLICY = RestartPolicy()
TUNNELS = RestartPolicy(burst=20)
OVER = [state.value for state in RunState if state.over]
RESETS = ("runner.start", "tunnel.open", "tunnel.close", "clock set", "slept", "job finished")


def no_service_twice(world: World) -> Complaints:
    """Of no service do two trees live at once, now or at any time before."""
    until: dict[str, tuple[datetime | None, int]] = {}
    for tree in world.machine.trees:
        gone, incarnation = until.get(tree.service, (tree.born, -1))
        if gone is None or gone > tree.born:
            yield f"{tree.service}/{tree.incarnation} was born at {tree.born} while /{incarnation} lived"
        if tree.incarnation <= incarnation:
            yield f"{tree.service}/{tree.incarnation} was born after /{incarnation}"
        until[tree.service] = (tree.gone, tree.incarnation)


def budget_kept(world: World) -> Complaints:
    """In no window of ten minutes are there more automatic restarts than the policy allows; a person or a finished job fill the budget again."""
    events: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for line in world.history:
        if line.what == "born":
            events[line.subject.partition("/")[0]].append((line.at, "born"))
        elif line.what in RESETS or line.what == "engine up":
            for name in [line.subject] if line.what == "runner.start" else world.runners:
                events[name].append((line.at, line.what))
    for attempt in world.wire.attempts:
        if attempt.over and attempt.outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            events[attempt.service].append((attempt.over, "job finished"))
    for name, lines in events.items():
        births: list[datetime] = []
        # Births that are no restarts: a person's start, one that an engine did not live to record, or because there is a notebook to run.
        spare = 1 if name == NAME else 0
        most = TUNNELS.burst if name == pilots.NAME else POLICY.burst
        for at, what in sorted(lines, key=lambda line: (line[0], line[1] == "born")):
            if what == "born":
                births = [one for one in births if at - one < POLICY.window]
                births.append(at)
                if len(births) > most + spare:
                    yield f"{name} was restarted {len(births)} times in the ten minutes before {at}"
            elif what == "engine up":
                continue
            else:
                births.clear()
                spare = 1


def one_run_at_a_time(world: World) -> Complaints:
    """No job is run twice at the same time, none again after it came to its end."""
    of_job: dict[int, list[tuple[datetime, datetime | None, Outcome | None, str]]] = defaultdict(list)
    for attempt in world.wire.attempts:
        of_job[attempt.job].append((attempt.began, attempt.over, attempt.outcome, attempt.token))
    for job, tries in of_job.items():
        for (_, over, outcome, token), (began, _, _, second) in itertools.pairwise(tries):
            if over is None or began < over:
                yield f"job {job} was run as {second} while it ran as {token}"
            if outcome is not None:
                yield f"job {job} was run again as {second} after {token} had ended with {outcome.value}"


def one_outcome(world: World) -> Complaints:
    """A job that is over has one outcome, it stays, and it is what its worker said."""
    said = {attempt.job: attempt.outcome for attempt in world.wire.attempts if attempt.outcome is not None}
    with world.client.read() as connection:
        rows = connection.execute(sa.select(jobs.c.id, jobs.c.status, jobs.c.outcome).where(jobs.c.status == Status.DONE.value)).all()
    for id_, _status, outcome in rows:
        if outcome is None:
            yield f"job {id_} is over without an outcome"
            continue
        if world.outcomes.setdefault(id_, outcome) != outcome:
            yield f"job {id_} was {world.outcomes[id_]} and is {outcome} now"
        if id_ in said and said[id_].value != outcome:
            yield f"job {id_} is recorded as {outcome}, its worker had said {said[id_].value}"


def every_command_is_there(world: World) -> Complaints:
    """What was acknowledged to a person is in the store."""
    with world.client.read() as connection:
        kept = set(connection.execute(sa.select(commands.c.id)).scalars())
    if lost := set(world.acknowledged) - kept:
        yield f"commands were lost: {sorted(lost)}"


def runs_end_once(world: World) -> Complaints:
    """A run that is over stays as it is, is done only if its notebook was, and is not executed again after it was done."""
    with world.client.read() as connection:
        rows = runs.latest_runs(connection, world.client.place, limit=100_000)
        ends = connection.execute(sa.select(flips.c.reason).where(flips.c.about == "run", flips.c.new.in_(OVER))).scalars().all()
    for subject, count in Counter(reason.partition(":")[0] for reason in ends if reason.startswith("run ")).items():
        if count > 1:
            yield f"{subject} ended {count} times"
    done = {one.run for one in world.wire.desk.executions if one.state is RunState.DONE}
    for row in rows:
        if row.state.over and world.ended.setdefault(row.id, row.state.value) != row.state.value:
            yield f"run {row.id} was {world.ended[row.id]} and is {row.state.value} now"
        if row.state is RunState.DONE and row.id not in done:
            yield f"run {row.id} is done, and its notebook never was"


def one_execution_at_a_time(world: World) -> Complaints:
    """No notebook is executed twice at once for one run, or again after it was done; no more runs of a schedule at once than it may have."""
    with world.client.read() as connection:
        named = {row.id: row.schedule for row in runs.latest_runs(connection, world.client.place, limit=100_000)}
        most = {row.schedule.name: row.schedule.max_parallel for row in runs.schedules_of(connection, world.client.place)}
    spans: dict[str, list[Execution]] = defaultdict(list)
    for one in world.wire.desk.executions:
        spans[f"run {one.run}"].append(one)
        spans[named.get(one.run, "")].append(one)
    for subject, found in spans.items():
        limit = 1 if subject.startswith("run ") else most.get(subject)
        for number, one in enumerate(found):
            before = found[:number]
            if limit is not None and sum(other.over is None or other.over > one.began for other in before) >= limit:
                yield f"{subject} was executed as {one.token} while there were {limit} executions"
            if subject.startswith("run ") and any(other.state is RunState.DONE for other in before):
                yield f"{subject} was executed again as {one.token} after it was done"


def addresses_are_counted(world: World) -> Complaints:
    """No generation of a tunnel is used twice, and what the store says was issued was announced just so."""
    said = world.wire.pilots.addresses
    for generation, number in Counter(one.generation for one in said).items():
        if number > 1:
            yield f"generation {generation} of {pilots.NAME} was used {number} times"
    truth = {(one.generation, one.url) for one in said}
    with world.client.read() as connection:
        issued = tunnels.issued_of(connection, world.client.place, tunnel=pilots.NAME)
    for one in issued:
        if (one.generation, one.origin) not in truth:
            yield f"{one.origin} is said to be generation {one.generation} of {pilots.NAME}, and nobody announced that"


SAFETY: tuple[Callable[[World], Complaints], ...] = (
    *(no_service_twice, budget_kept, one_run_at_a_time, one_outcome, every_command_is_there),
    *(runs_end_once, one_execution_at_a_time, addresses_are_counted),
)


def every_command_is_answered(world: World) -> Complaints:
    """No request is left lying."""
    with world.client.read() as connection:
        new = connection.execute(sa.select(commands.c.id, commands.c.verb).where(commands.c.status == "new")).all()
    if new:
        yield f"nobody acted on {[tuple(row) for row in new]}"


def no_service_lost(world: World) -> Complaints:
    """What is wanted up runs, once and as the store says, or is quarantined; what is not wanted does not live."""
    with world.client.read() as connection:
        rows = services.all_of(connection, world.client.place)
    for row in rows:
        trees = [tree for tree in world.machine.living(row.name) if tree.alive]
        state = row.state
        if state.phase is Phase.RUNNING and [tree.incarnation for tree in trees] != [state.incarnation]:
            yield f"{row.name} is running as /{state.incarnation} in the store, as {[tree.incarnation for tree in trees]} in truth"
        if state.desired is Desired.UP and state.phase not in (Phase.RUNNING, Phase.QUARANTINED):
            yield f"{row.name} is wanted up and is {state.phase.value}"
        if state.desired is not Desired.UP and state.phase not in (Phase.STOPPED, Phase.QUARANTINED):
            yield f"{row.name} is wanted {state.desired.value} and is {state.phase.value}"
        if state.phase is not Phase.RUNNING and trees:
            yield f"{row.name} is {state.phase.value} and lives"


def incidents_are_over(world: World) -> Complaints:
    """Every incident is over: healthy with a proof, quarantined, or dropped because a person stopped the service first."""
    with world.client.read() as connection:
        all_of_them = history.latest_incidents(connection, world.client.place, limit=100_000)
    for incident in all_of_them:
        if incident.closed is None:
            yield f"incident {incident.id} of {incident.service} is still open: {incident.title}; awaits {incident.awaits}"
        elif incident.state not in ("healthy", "quarantined", "dropped"):  # dropped: a person stopped it first
            yield f"incident {incident.id} ended as {incident.state}"
        if not incident.cause:
            yield f"incident {incident.id} has no cause"
        if incident.state == "healthy" and not incident.proof:
            yield f"incident {incident.id} is healthy without proof"


def all_work_is_done(world: World) -> Complaints:
    """Every commit became exactly one first build, every build and every job of it came to an end."""
    with world.client.read() as connection:
        found = connection.execute(sa.select(builds.c.runner, builds.c.sha, builds.c.attempt)).all()
        running = [build.id for build in work.open_builds(connection, world.client.place)]
        stuck = connection.execute(sa.select(jobs.c.id, jobs.c.status, jobs.c.runner).where(jobs.c.status != Status.DONE.value)).all()
    first = sorted((runner, sha) for runner, sha, attempt in found if attempt == 1)
    pushed = sorted((name, plan.sha) for name, repository in world.wire.repositories.items() for plan in repository.commits)
    if first != pushed:
        yield f"{len(pushed)} commits, {len(first)} builds: missing {set(pushed) - set(first)}, too many {set(first) - set(pushed)}"
    if stuck:
        yield f"jobs are stuck: {[tuple(row) for row in stuck]}"
    if running:
        yield f"builds are stuck: {running}"
    if still := world.wire.running():
        yield f"runs never ended: {[attempt.token for attempt in still]}"


def every_moment_is_accounted_for(world: World) -> Complaints:
    """From its first run to its last, a schedule has one run for each of its moments; every run is over."""
    with world.client.read() as connection:
        rows = runs.latest_runs(connection, world.client.place, limit=100_000)
        known = runs.schedules_of(connection, world.client.place)
    if stuck := [f"{row.id} {row.state.value}" for row in rows if not row.state.over]:
        yield f"runs are stuck: {stuck}"
    for schedule in known:
        moments = sorted(row.at for row in rows if row.schedule == schedule.schedule.name)
        if not moments:
            continue
        fires, missing = times.fires(schedule.schedule, after=moments[0] - timedelta(seconds=1)), []
        while (at := next(fires)) <= moments[-1]:
            missing += [] if at in moments else [at]
        if missing:
            yield f"moments of {schedule.schedule.name} vanished: {missing[:3]}"
        if len(moments) != len(set(moments)):
            yield f"a moment of {schedule.schedule.name} has two runs"


def an_address_is_the_last_one(world: World) -> Complaints:
    """The store knows every address that was announced; an open tunnel shows the last one and its followers know it, a closed one shows none."""
    said, place = world.wire.pilots.addresses, world.client.place
    with world.client.read() as connection:
        row = tunnels.get(connection, place, pilots.NAME)
        issued = tunnels.issued_of(connection, place, tunnel=pilots.NAME)
        followers = tunnels.followers_of(connection, place, tunnel=pilots.NAME)
        known = {one.name for one in services.all_of(connection, place)}
    if missing := sorted({one.generation for one in said} - {one.generation for one in issued}):
        yield f"generations {missing} of {pilots.NAME} were announced, and the store does not know them"
    if world.wire.pilots.living():
        if row is None or row.view.url != said[-1].url:
            yield f"{pilots.NAME} is at {said[-1].url} in truth, at {row.view.url if row else 'nothing'} in the store"
        for one in followers:
            if one.last is None or one.last.generation != said[-1].generation:
                yield f"{one.key} was not told of generation {said[-1].generation}"
        return
    shows = row is not None and (row.view.url or row.view.state is not TunnelState.OFF)
    if row is not None and pilots.NAME not in known and (shows or any(one.until is None for one in issued)):
        yield f"{pilots.NAME} is closed, and shows {row.view.state.value} {row.view.url}"


LIVENESS: tuple[Callable[[World], Complaints], ...] = (
    *(every_command_is_answered, no_service_lost, incidents_are_over, all_work_is_done),
    *(every_moment_is_accounted_for, an_address_is_the_last_one),
)


class Broken(AssertionError):
    """Something did not hold. The message has the seed and the last lines of the world's history."""


def hold(world: World, oracles: tuple[Callable[[World], Complaints], ...]) -> None:
    """Ask oracles.

    Raises:
        Broken: one of them complained.
    """
    for oracle in oracles:
        for complaint in oracle(world):
            last = "\n".join(f"  {line.at:%d %H:%M:%S.%f} {line.what} {line.subject}" for line in world.history[-40:])
            raise Broken(f"seed {world.seed}: {oracle.__name__}: {complaint}\n{last}")


def settle(world: World, *, hours: float = 4.0) -> None:
    """The end of a life: faults cease, everything is started by a person, and after some hours all must be well."""
    world.boot()
    world.live_until(world.clock.now() + timedelta(hours=1))
    for name in world.runners:
        world.start_runner(name)
    world.live_until(world.clock.now() + timedelta(hours=hours))
    world.live_until(world.clock.now() + timedelta(minutes=1))  # what the last quiet stretch put off has begun just now
