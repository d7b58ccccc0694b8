"""GitLab's addresses for people and their programs: runners, projects, groups, pipelines, jobs."""

from __future__ import annotations

from ..exchange import sends
from ..faults import Reply
from . import shapes
from .routes import Call, Refusal, Route
from .state import GOING, OVER, Job, Pipeline, Runner

_KINDS = {"instance_type": "", "group_type": "group_id", "project_type": "project_id"}


def _create(call: Call) -> Reply:
    """A runner for an instance, a group or a project; 400 names the parameter that is missing."""
    kind, state = call.text("runner_type"), call.state
    if kind not in _KINDS:
        raise Refusal(400, "", error="runner_type does not have a valid value")
    needed = _KINDS[kind]
    if needed and not call.text(needed).isdigit():
        raise Refusal(400, "", error=f"{needed} is missing")
    number = int(call.text(needed)) if needed else 0
    place = state.projects.get(number) if kind == "project_type" else state.groups.get(number)
    if needed and (place is None or not call.sees(place.path)):
        raise Refusal(403, "403 Forbidden" if place is not None else "404 Not Found")
    tags = call.words("tag_list") or []
    if not tags and not call.flag("run_untagged", default=True):
        raise Refusal(400, "400 Bad request - Tags list can not be empty when runner is not allowed to pick untagged jobs")
    projects, group = [number] if kind == "project_type" else [], number if kind == "group_type" else None
    made = state.add_runner(kind=kind, description=call.text("description"), projects=projects, group=group, tags=tags)
    _change(call, made)
    return sends(shapes.registered(made), 201)


def _change(call: Call, runner: Runner) -> None:
    runner.run_untagged = call.flag("run_untagged", default=runner.run_untagged)
    runner.locked = call.flag("locked", default=runner.locked)
    runner.paused = call.flag("paused", default=runner.paused)
    if "active" in call.params:
        runner.paused = not call.flag("active", default=True)
    runner.description = call.text("description") or runner.description
    runner.access_level = call.text("access_level") or runner.access_level
    runner.note = call.text("maintenance_note") or runner.note
    if call.text("maximum_timeout").isdigit():
        runner.maximum_timeout = int(call.text("maximum_timeout"))
    tags = call.words("tag_list")
    runner.tags = runner.tags if tags is None else tags


def _chosen(call: Call, found: list[Runner]) -> Reply:
    """Those of a list that fit `type`, `status`, `paused` and `tag_list`."""
    kind, status, tags = call.text("type"), call.text("status"), set(call.words("tag_list") or [])
    fits = [one for one in found if kind in {"", one.kind} and status in {"", call.state.status(one.contacted)} and tags <= set(one.tags)]
    if "paused" in call.params:
        fits = [one for one in fits if one.paused == call.flag("paused", default=False)]
    return call.listing(shapes.runner(call.state, one) for one in fits)


def _runners(call: Call) -> Reply:
    return _chosen(call, list(call.state.runners.values()))


def _project_runners(call: Call) -> Reply:
    project = call.project()
    return _chosen(call, [one for one in call.state.runners.values() if call.state.reaches(one, project)])


def _group_runners(call: Call) -> Reply:
    group = call.group()
    return _chosen(call, [one for one in call.state.runners.values() if one.group == group.id])


def _get_runner(call: Call) -> Reply:
    return sends(shapes.runner_details(call.state, call.runner()))


def _put_runner(call: Call) -> Reply:
    runner = call.runner()
    _change(call, runner)
    call.state.queue_value += 1
    return sends(shapes.runner_details(call.state, runner))


def _delete_runner(call: Call) -> Reply:
    del call.state.runners[call.runner().id]
    return Reply(status=204)


def _runner_jobs(call: Call) -> Reply:
    runner, status = call.runner(), call.text("status")
    found = [job for job in reversed(call.state.jobs.values()) if job.runner == runner.id and status in {"", job.status}]
    return call.listing(shapes.job(call.state, job) for job in found)


def _managers(call: Call) -> Reply:
    return call.listing(shapes.manager(call.state, one) for one in call.runner().managers.values())


def _reset(call: Call) -> Reply:
    runner = call.runner()
    call.state.new_token(runner)
    return sends({"token": runner.token, "token_expires_at": shapes.when(runner.token_expires)}, 201)


def _project(call: Call) -> Reply:
    return sends(shapes.project(call.state, call.project()))


def _group(call: Call) -> Reply:
    return sends(shapes.group(call.state, call.group()))


def _group_projects(call: Call) -> Reply:
    inside = call.group().path + "/"
    return call.listing(shapes.project(call.state, one) for one in call.state.projects.values() if one.path.startswith(inside))


def _projects(call: Call) -> Reply:
    return call.listing(shapes.project(call.state, one) for one in call.state.projects.values() if call.sees(one.path))


def _groups(call: Call) -> Reply:
    return call.listing(shapes.group(call.state, one) for one in call.state.groups.values() if call.sees(one.path))


def _in_scope(call: Call, jobs: list[Job]) -> Reply:
    scopes = {*call.request.every("scope[]"), *call.request.every("scope")}
    return call.listing(shapes.job(call.state, job) for job in jobs if not scopes or job.status in scopes)


def _jobs(call: Call) -> Reply:
    project = call.project()
    return _in_scope(call, [job for job in reversed(call.state.jobs.values()) if job.project == project.id])


def _job(call: Call) -> Job:
    project, found = call.project(), call.state.jobs.get(call.number("job"))
    if found is None or found.project != project.id:
        raise Refusal(404, "404 Not found")
    return found


def _get_job(call: Call) -> Reply:
    return sends(shapes.job(call.state, _job(call)))


def _trace(call: Call) -> Reply:
    return Reply(body=_job(call).trace, headers={"Content-Type": "text/plain"})


def _artifacts(call: Call) -> Reply:
    job = _job(call)
    if job.archive is None:
        raise Refusal(404, "404 Not found")
    return Reply(body=job.archive[1], headers={"Content-Type": "application/octet-stream"})


def _retry(call: Call) -> Reply:
    job = _job(call)
    if job.status not in OVER or job.retried:
        raise Refusal(403, "403 Forbidden - Job is not retryable")
    return sends(shapes.job(call.state, call.state.again(job)), 201)


def _cancel(call: Call) -> Reply:
    job = _job(call)
    if job.status == "canceling" and call.text("force").lower() == "true":
        call.state.finish(job, "canceled")
    call.state.cancel(job)
    return sends(shapes.job(call.state, job), 201)


def _play(call: Call) -> Reply:
    job = _job(call)
    if job.status != "manual":
        raise Refusal(400, "400 Bad request - Unplayable Job")
    call.state.queue(job)
    return sends(shapes.job(call.state, job))


def _pipelines(call: Call) -> Reply:
    project, status, state = call.project(), call.text("status"), call.state
    found = [one for one in reversed(state.pipelines.values()) if one.project == project.id and status in {"", state.status_of(one)}]
    return call.listing(shapes.pipeline(state, one) for one in found)


def _pipeline(call: Call) -> Pipeline:
    project, found = call.project(), call.state.pipelines.get(call.number("pipeline"))
    if found is None or found.project != project.id:
        raise Refusal(404, "404 Not found")
    return found


def _get_pipeline(call: Call) -> Reply:
    return sends(shapes.pipeline(call.state, _pipeline(call)))


def _pipeline_jobs(call: Call) -> Reply:
    return _in_scope(call, call.state.jobs_of(_pipeline(call)))


def _retry_pipeline(call: Call) -> Reply:
    """The failed and cancelled jobs of a pipeline."""
    pipeline = _pipeline(call)
    for job in call.state.jobs_of(pipeline):
        if job.status in {"failed", "canceled"}:
            call.state.again(job)
    return sends(shapes.pipeline(call.state, pipeline), 201)


def _cancel_pipeline(call: Call) -> Reply:
    pipeline = _pipeline(call)
    for job in call.state.jobs_of(pipeline):
        if job.status not in OVER | GOING - {"running"}:
            call.state.cancel(job)
    return sends(shapes.pipeline(call.state, pipeline))


def _version(_call: Call) -> Reply:
    return sends({"version": "19.4.0", "revision": "standin"})


def _me(call: Call) -> Reply:
    return sends({**shapes.user(call.state), "is_admin": False})


def _my_token(call: Call) -> Reply:
    assert call.token is not None
    expires = None if call.token.expires is None else call.token.expires.date().isoformat()
    return sends({"id": 1, "name": "a token", "revoked": False, "active": True, "scopes": sorted(call.token.scopes), "expires_at": expires})


_P, _READ, _MANAGE = "/projects/{project}", ("read_api",), ("manage_runner",)
_TABLE = [
    ("POST", "/user/runners", _create, ("create_runner",)),
    ("GET", "/runners", _runners, _READ),
    ("GET", "/runners/all", _runners, _READ),
    ("GET", "/runners/{runner}", _get_runner, (*_READ, *_MANAGE)),
    ("PUT", "/runners/{runner}", _put_runner, _MANAGE),
    ("DELETE", "/runners/{runner}", _delete_runner, _MANAGE),
    ("GET", "/runners/{runner}/jobs", _runner_jobs, _READ),
    ("GET", "/runners/{runner}/managers", _managers, (*_READ, *_MANAGE)),
    ("POST", "/runners/{runner}/reset_authentication_token", _reset, _MANAGE),
    ("GET", "/projects", _projects, _READ),
    ("GET", _P, _project, _READ),
    ("GET", _P + "/runners", _project_runners, (*_READ, *_MANAGE)),
    ("GET", _P + "/jobs", _jobs, _READ),
    ("GET", _P + "/jobs/{job}", _get_job, _READ),
    ("GET", _P + "/jobs/{job}/trace", _trace, _READ),
    ("GET", _P + "/jobs/{job}/artifacts", _artifacts, _READ),
    ("POST", _P + "/jobs/{job}/retry", _retry, ()),
    ("POST", _P + "/jobs/{job}/cancel", _cancel, ()),
    ("POST", _P + "/jobs/{job}/play", _play, ()),
    ("GET", _P + "/pipelines", _pipelines, _READ),
    ("GET", _P + "/pipelines/{pipeline}", _get_pipeline, _READ),
    ("GET", _P + "/pipelines/{pipeline}/jobs", _pipeline_jobs, _READ),
    ("POST", _P + "/pipelines/{pipeline}/retry", _retry_pipeline, ()),
    ("POST", _P + "/pipelines/{pipeline}/cancel", _cancel_pipeline, ()),
    ("GET", "/groups", _groups, _READ),
    ("GET", "/groups/{group}", _group, _READ),
    ("GET", "/groups/{group}/projects", _group_projects, _READ),
    ("GET", "/groups/{group}/runners", _group_runners, (*_READ, *_MANAGE)),
    ("GET", "/version", _version, (*_READ, *_MANAGE, "create_runner", "read_user")),
    ("GET", "/user", _me, (*_READ, "read_user")),
    ("GET", "/personal_access_tokens/self", _my_token, (*_READ, *_MANAGE, "create_runner", "read_user")),
]
ROUTES = [Route(method=method, pattern=pattern, handler=handler, scopes=scopes) for method, pattern, handler, scopes in _TABLE]
