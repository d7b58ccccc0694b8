"""Rows of builds and their jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from ..model.work import Build, BuildPlan, Job, JobPlan, Outcome, Status
from .schema import builds, jobs


@dataclass(frozen=True, kw_only=True)
class JobRow(Job):
    """A job with the token of its attempt, and whether it was taken over from an earlier attempt of its build."""

    token: str
    reused: bool = False


def find_build(connection: Connection, place: str, runner: str, plan: BuildPlan) -> bool:
    """Whether this commit's build exists already, in whatever attempt."""
    same = (builds.c.sha == plan.sha) & (builds.c.ref == plan.ref) & (builds.c.workflow == plan.workflow)
    query = sa.select(builds.c.id).where(builds.c.place == place, builds.c.runner == runner, same).limit(1)
    return connection.execute(query).scalar() is not None


def add_build(connection: Connection, place: str, runner: str, plan: BuildPlan, *, attempt: int, at: datetime) -> int:
    """Put a build without jobs; its id."""
    row = builds.insert().values(
        place=place, runner=runner, sha=plan.sha, ref=plan.ref, workflow=plan.workflow, attempt=attempt, plan=plan, created=at
    )
    return int(connection.execute(row.returning(builds.c.id)).scalar_one())


def add_jobs(connection: Connection, build: int, plans: Iterable[JobPlan], *, at: datetime) -> list[int]:
    """Put jobs that wait for their turn; a refused one is over at once, as not run. Their ids, in order."""
    ids = []
    for plan in plans:
        over = bool(plan.refusal)
        row = jobs.insert().values(
            build=build,
            plan=plan,
            key=plan.key,
            name=plan.name,
            status=(Status.DONE if over else Status.WAITING).value,
            outcome=Outcome.NOT_RUN.value if over else None,
            reason=plan.refusal,
            finished=at if over else None,
            attempt=1,
            token="",
            steps=(),
            annotations=(),
            outputs={},
            artifacts=(),
        )
        ids.append(int(connection.execute(row.returning(jobs.c.id)).scalar_one()))
    return ids


def update_job(connection: Connection, id_: int, **values: object) -> None:
    """Put what became known of a job; enums are stored by value."""
    plain = {name: value.value if isinstance(value, (Status, Outcome)) else value for name, value in values.items()}
    connection.execute(jobs.update().where(jobs.c.id == id_).values(**plain))


def drop_job(connection: Connection, id_: int) -> None:
    """Take away a job whose matrix turned out to be several others."""
    connection.execute(jobs.delete().where(jobs.c.id == id_))


def close_build(connection: Connection, id_: int, outcome: Outcome | None, *, at: datetime | None) -> None:
    """Say how a build ended; None opens it again."""
    connection.execute(builds.update().where(builds.c.id == id_).values(outcome=outcome.value if outcome else None, finished=at))


def open_builds(connection: Connection, place: str) -> list[Build]:
    """The builds that are not over, oldest first."""
    query = sa.select(builds).where(builds.c.place == place, builds.c.outcome.is_(None)).order_by(builds.c.id)
    return [_build(row) for row in connection.execute(query).mappings()]


def latest_builds(connection: Connection, place: str, *, limit: int = 50, runner: str | None = None) -> list[Build]:
    """The newest builds, oldest first."""
    query = sa.select(builds).where(builds.c.place == place).order_by(builds.c.id.desc()).limit(limit)
    if runner is not None:
        query = query.where(builds.c.runner == runner)
    return [_build(row) for row in connection.execute(query).mappings()][::-1]


def get_build(connection: Connection, id_: int) -> Build | None:
    """One build."""
    row = connection.execute(sa.select(builds).where(builds.c.id == id_)).mappings().first()
    return None if row is None else _build(row)


def jobs_of(connection: Connection, build_ids: Iterable[int]) -> list[JobRow]:
    """The jobs of some builds, by id."""
    query = sa.select(jobs).where(jobs.c.build.in_(list(build_ids))).order_by(jobs.c.id)
    return [_job(row) for row in connection.execute(query).mappings()]


def get_job(connection: Connection, place: str, id_: int) -> JobRow | None:
    """One job of a place."""
    query = sa.select(jobs).join(builds, builds.c.id == jobs.c.build).where(jobs.c.id == id_, builds.c.place == place)
    row = connection.execute(query).mappings().first()
    return None if row is None else _job(row)


def latest_jobs(connection: Connection, place: str, *, limit: int = 100) -> list[JobRow]:
    """The newest jobs, oldest first."""
    query = sa.select(jobs).join(builds, builds.c.id == jobs.c.build).where(builds.c.place == place)
    rows = connection.execute(query.order_by(jobs.c.id.desc()).limit(limit)).mappings()
    return [_job(row) for row in rows][::-1]


def heads(connection: Connection, place: str, runner: str) -> dict[str, str]:
    """The newest commit that a build exists for, per ref."""
    newest = (
        sa.select(sa.func.max(builds.c.id)).where(builds.c.place == place, builds.c.runner == runner).group_by(builds.c.ref).scalar_subquery()
    )
    rows = connection.execute(sa.select(builds.c.ref, builds.c.sha).where(builds.c.id.in_(newest)))
    return {str(ref): str(sha) for ref, sha in rows}


def _build(row: RowMapping | Mapping[str, object]) -> Build:
    data = dict(row)
    for name in ("place", "sha", "ref", "workflow"):
        del data[name]
    data["outcome"] = Outcome(data["outcome"]) if data["outcome"] else None
    return Build(**data)


def _job(row: RowMapping | Mapping[str, object]) -> JobRow:
    data = dict(row)
    del data["key"], data["name"]
    data["status"] = Status(data["status"])
    data["outcome"] = Outcome(data["outcome"]) if data["outcome"] else None
    return JobRow(**data)


def live_on(connection: Connection, place: str, runner: str) -> list[int]:
    """The ids of the jobs that a runner has, assigned or running."""
    query = (
        sa.select(jobs.c.id)
        .join(builds, builds.c.id == jobs.c.build)
        .where(builds.c.place == place, jobs.c.runner == runner, jobs.c.status.in_([Status.ASSIGNED.value, Status.RUNNING.value]))
        .order_by(jobs.c.id)
    )
    return list(connection.execute(query).scalars())


def all_live(connection: Connection, place: str) -> list[JobRow]:
    """The jobs that some runner has, assigned or running."""
    mine = (builds.c.place == place) & jobs.c.status.in_([Status.ASSIGNED.value, Status.RUNNING.value])
    query = sa.select(jobs).join(builds, builds.c.id == jobs.c.build).where(mine).order_by(jobs.c.id)
    return [_job(row) for row in connection.execute(query).mappings()]


def by_token(connection: Connection, token: str) -> JobRow | None:
    """The job whose attempt under way has this token."""
    row = connection.execute(sa.select(jobs).where(jobs.c.token == token)).mappings().first()
    return None if row is None else _job(row)


def attempts_of(connection: Connection, build: Build) -> list[Build]:
    """All attempts of a build's commit and workflow, oldest first."""
    plan = build.plan
    same = (builds.c.sha == plan.sha) & (builds.c.ref == plan.ref) & (builds.c.workflow == plan.workflow) & (builds.c.runner == build.runner)
    place = sa.select(builds.c.place).where(builds.c.id == build.id).scalar_subquery()
    query = sa.select(builds).where(same, builds.c.place == place).order_by(builds.c.attempt)
    return [_build(row) for row in connection.execute(query).mappings()]
