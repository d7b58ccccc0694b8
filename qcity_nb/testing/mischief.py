"""What may happen in a simulated world: faults of every kind, and people and commits in between. One function for each; `MISCHIEF` weighs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec

from ..model.schedule import CatchUp, Retry, RunPlan, Schedule
from ..model.work import Outcome
from ..store import runs, tunnels, work
from . import pilots
from .desk import NAME
from .machine import Program
from .world import World, stretch

Act = Callable[[World], None]
SCHEDULES = {
    name: Schedule(name=name, plan=RunPlan(notebook=f"/{name}.ipynb", retry=Retry(times=1)), cron=cron, catch_up=catch_up, max_parallel=parallel)
    for name, cron, catch_up, parallel in (
        ("six-hourly", "0 */6 * * *", CatchUp.ALL, 2),
        ("daily", "30 3 * * *", CatchUp.LATEST, 1),
        ("weekly", "0 0 * * 1", CatchUp.NONE, 1),
        ("busy", "*/20 * * * *", CatchUp.ALL, 3),
    )
}
"""What people schedule. None of it is ever changed, so that each moment of it can be accounted for."""


def kill_runner(world: World) -> None:
    """Kill -9, or another signal, from outside."""
    world.machine.kill(_any_runner(world), world.random.choice((9, 9, 15, 11)))


def kill_several(world: World) -> None:
    """Several at once."""
    for name in world.runners:
        world.machine.kill(name)


def freeze_runner(world: World) -> None:
    """SIGSTOP: alive and silent."""
    world.machine.freeze(_any_runner(world))


def kill_keeper(world: World) -> None:
    """The parent that would have seen the exit code is gone."""
    name = _any_runner(world)
    world.machine.kill_keeper(name)
    if world.random.random() < 0.7:
        world.machine.kill(name)


def change_program(world: World) -> None:
    """A runner's program becomes another one: from now on, or at its next start."""
    chance = world.random
    program = chance.choice(
        (
            Program(lives=timedelta(seconds=chance.choice((0.0, 0.2, 3.0, 30.0))), code=1, says="Error: it crashed"),
            Program(error="no-such-agent: No such file or directory"),
            Program(ignores_term=True),
            Program(leftovers=chance.randint(1, 5)),
            Program(silent=True),
            Program(lives=timedelta(hours=chance.randint(1, 30))),
            Program(),
            Program(),
        )
    )
    name = _any_runner(world)
    world.note("program", f"{name} {program}")
    world.machine.programs[name] = program
    if chance.random() < 0.5:
        world.machine.kill(name)


def heal_programs(world: World) -> None:
    """All programs are well-behaved again."""
    for name in world.runners:
        world.machine.programs[name] = Program()


def kill_engine(world: World) -> None:
    """Kill the engine where it stands."""
    if world.engine is not None:
        world.bury()


def kill_engine_soon(world: World) -> None:
    """Kill the engine at one of the next points between two acts, together with something that makes it act."""
    world.machine.fuse.arm(world.random.randint(1, 30))
    of_ours = (schedule, run_notebook, cancel_run, kill_worker, open_tunnel, close_tunnel, move_tunnel)
    world.random.choice((kill_runner, push, restart, stop_runner, freeze_runner, change_program, *of_ours))(world)


def two_engines(world: World) -> None:
    """Another engine is started while there is one: the home's lock keeps it out."""
    if world.engine is not None:
        assert not world.boot(), "two engines at once"


def set_clock(world: World) -> None:
    """Somebody sets the wall clock."""
    seconds = world.random.choice((-86_400, -3600, -61, -2, 2, 61, 3600, 86_400))
    world.clock.jump(seconds)
    world.note("clock set", str(seconds))


def sleep(world: World) -> None:
    """The machine sleeps."""
    world.clock.sleep(stretch(world.random, shortest=60, longest=200_000).total_seconds())
    world.note("slept")


def fill_disk(world: World) -> None:
    """The disk is full, or has room again."""
    world.set_full(full=not world.full)


def lose_store(world: World) -> None:
    """The store does not answer, or does again."""
    world.set_away(away=not world.away)


def lose_orders(world: World) -> None:
    """Workers do not get what they are told, or do again."""
    world.wire.lose_orders = not world.wire.lose_orders


def stutter(world: World) -> None:
    """Workers say everything twice, or stop doing so."""
    world.wire.repeat_facts = not world.wire.repeat_facts


def push(world: World) -> None:
    """One commit, or a shower of them."""
    runner = world.random.choice(sorted(world.wire.works))
    repository = world.wire.repositories[runner]
    for key in ("build", "test", "package"):
        repository.seconds[key] = stretch(world.random, shortest=0.5, longest=2000).total_seconds()
        repository.outcomes[key] = world.random.choice((Outcome.SUCCESS, Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE))
    for _ in range(world.random.choice((1, 1, 1, 2, 6))):
        world.commit(runner)


def restart(world: World) -> None:
    """A person starts a runner that may be up already."""
    world.start_runner(_any_runner(world))


def stop_runner(world: World) -> None:
    """A person stops or drains a runner, and at times takes it back at once."""
    name = _any_runner(world)
    world.ask(world.random.choice(("runner.stop", "runner.drain")), name)
    if world.random.random() < 0.5:
        world.start_runner(name)


def meddle_with_job(world: World) -> None:
    """A person cancels or re-runs a job, or one that never was."""
    with world.client.read() as connection:
        jobs = work.latest_jobs(connection, world.client.place, limit=20)
    if jobs:
        job = world.random.choice(jobs)
        world.ask(world.random.choice(("job.cancel", "job.rerun")), str(job.id))
    else:
        world.ask("job.cancel", "4711")


def bad_request(world: World) -> None:
    """A request that makes no sense: refused, with a sentence, and nothing else happens."""
    chance = world.random
    world.ask(chance.choice(("runner.stop", "runner.remove", "job.rerun", "no.such.verb")), chance.choice(("nobody", "", "-1", "0", "x" * 190)))


def schedule(world: World) -> None:
    """A person schedules a notebook, or says once more what is scheduled already."""
    name = world.random.choice(sorted(set(SCHEDULES) - ({"busy"} if world.seed % 2 else set())))  # not in a long life: that takes long
    world.ask("schedule.put", name, {**msgspec.to_builtins(SCHEDULES[name]), "fresh": False})


def run_notebook(world: World) -> None:
    """A person runs a notebook; notebooks take longer from now on, or fail more often."""
    desk, chance = world.wire.desk, world.random
    desk.seconds, desk.fails = stretch(chance, shortest=0.5, longest=4000).total_seconds(), chance.choice((0.0, 0.0, 0.3, 1.0))
    plan = RunPlan(notebook="/by-hand.ipynb", retry=Retry(times=chance.randint(0, 2)))
    world.ask("notebook.run", "", {"plan": msgspec.to_builtins(plan), "key": chance.choice((None, "the same"))})


def cancel_run(world: World) -> None:
    """A person cancels a run, which may be over."""
    with world.client.read() as connection:
        known = runs.latest_runs(connection, world.client.place, limit=10)
    if known:
        world.ask("notebook.cancel", str(world.random.choice(known).id))


def kill_worker(world: World) -> None:
    """The worker that runs notebooks is killed, or freezes, at times with one under way."""
    if world.random.random() < 0.5:
        run_notebook(world)
        world.live_until(world.clock.now() + timedelta(seconds=1))
    world.random.choice((world.machine.kill, world.machine.kill, world.machine.freeze))(NAME)


def open_tunnel(world: World) -> None:
    """A person opens a tunnel, or says once more what is open already; files follow it, or do so no more."""
    world.ask("tunnel.open", pilots.NAME, pilots.PLAN)
    if world.random.random() < 0.6:
        world.ask("follow.put", pilots.NAME, {"follower": msgspec.to_builtins(pilots.FILES)})
    elif world.random.random() < 0.3:
        world.ask("follow.drop", pilots.NAME, {"key": tunnels.key_of(pilots.FILES)})


def close_tunnel(world: World) -> None:
    """A person closes it."""
    world.ask("tunnel.close", pilots.NAME)


def move_tunnel(world: World) -> None:
    """Its provider dies, or its pilot does."""
    if world.random.random() < 0.4:
        world.random.choice((world.machine.kill, world.machine.kill, world.machine.freeze))(pilots.NAME)
    for key in world.wire.pilots.living():
        world.wire.pilots.move(key)


MISCHIEF: dict[Act, int] = {
    kill_runner: 12,
    kill_several: 2,
    freeze_runner: 4,
    kill_keeper: 4,
    change_program: 8,
    heal_programs: 5,
    kill_engine: 8,
    kill_engine_soon: 20,
    two_engines: 1,
    set_clock: 4,
    sleep: 3,
    fill_disk: 4,
    lose_store: 4,
    lose_orders: 2,
    stutter: 2,
    push: 16,
    restart: 10,
    stop_runner: 6,
    meddle_with_job: 6,
    bad_request: 2,
    schedule: 14,
    run_notebook: 14,
    cancel_run: 5,
    kill_worker: 14,
    open_tunnel: 10,
    close_tunnel: 3,
    move_tunnel: 12,
}
"""How often each one is drawn."""


def act(world: World) -> None:
    """Let one thing happen."""
    chosen = world.random.choices(list(MISCHIEF), weights=list(MISCHIEF.values()))[0]
    world.note("mischief", chosen.__name__)
    chosen(world)


def calm(world: World) -> None:
    """All faults cease: programs behave, the disk has room, orders arrive, the engine is left alone."""
    world.machine.fuse.disarm()
    heal_programs(world)
    world.wire.lose_orders = world.wire.repeat_facts = False
    world.wire.desk.seconds, world.wire.desk.fails = 3.0, 0.0
    for repository in world.wire.repositories.values():
        repository.seconds.clear()
    world.set_full(full=False)
    world.set_away(away=False)
    with world.client.read() as connection:
        names = [row.schedule.name for row in runs.schedules_of(connection, world.client.place)]
    for name in names:
        world.ask("schedule.pause", name)
    world.note("calm")


def _any_runner(world: World) -> str:
    return world.random.choice(sorted(world.runners))
