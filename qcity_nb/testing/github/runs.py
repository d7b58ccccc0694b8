"""GitHub's addresses about workflow runs and jobs: lists, logs, re-runs, cancelling, dispatching."""

from __future__ import annotations

import secrets
from datetime import timedelta
from urllib.parse import urlencode

from ..exchange import sends
from ..faults import Reply
from . import shapes
from .routes import Call, Refusal, Route
from .state import Job, Run

_OPEN = {"queued", "in_progress"}


def _run(call: Call) -> Run:
    found = call.state.runs.get(call.number("run_id"))
    if found is None or found.repo.lower() != call.scope.lower():
        raise Refusal(404, "Not Found")
    return found


def _job(call: Call) -> Job:
    found = call.state.jobs.get(call.number("job_id"))
    if found is None or found.repo.lower() != call.scope.lower():
        raise Refusal(404, "Not Found")
    return found


def _list(call: Call) -> Reply:
    """Newest first; `status` is a status or a conclusion, as GitHub has it."""
    asked = call.request.query
    found = [run for run in reversed(call.state.runs.values()) if run.repo.lower() == call.scope.lower()]
    if wanted := asked.get("status"):
        found = [run for run in found if wanted in call.state.status_of(run)]
    if branch := asked.get("branch"):
        found = [run for run in found if run.branch == branch]
    return call.listing("workflow_runs", (shapes.run(call.state, run) for run in found))


def _get(call: Call) -> Reply:
    return sends(shapes.run(call.state, _run(call)))


def _jobs(call: Call) -> Reply:
    run, every = _run(call), call.request.query.get("filter") == "all"
    jobs = [job for job in call.state.jobs.values() if job.run == run.id] if every else call.state.jobs_of(run)
    return call.listing("jobs", (shapes.job(call.state, job) for job in jobs))


def _attempt(call: Call) -> Reply:
    run, attempt = _run(call), call.number("attempt_number")
    if not 1 <= attempt <= run.attempt:
        raise Refusal(404, "Not Found")
    return call.listing("jobs", (shapes.job(call.state, job) for job in call.state.jobs_of(run, attempt=attempt)))


def _get_job(call: Call) -> Reply:
    return sends(shapes.job(call.state, _job(call)))


def _logs(call: Call) -> Reply:
    """A link elsewhere, good for a minute."""
    job = _job(call)
    if job.status != "completed":
        raise Refusal(404, "Not Found")
    signature = secrets.token_urlsafe(16)
    call.state.signed[signature] = (job.id, call.state.now() + timedelta(minutes=1))
    at = call.state.root().replace("127.0.0.1", "localhost")  # another host, as on GitHub: a client has to drop its credentials
    return Reply(status=302, headers={"Location": f"{at}/_logs/{job.id}?{urlencode({'sig': signature})}"})


def _log_text(call: Call) -> Reply:
    """The log. Credentials in the request are refused, as the storage behind GitHub's links does."""
    if call.request.header("Authorization"):
        raise Refusal(400, "Authorization was sent to a signed link")
    number, expires = call.state.signed.get(call.request.query.get("sig", ""), (0, call.state.now()))
    if number != call.number("job_id") or expires <= call.state.now():
        raise Refusal(403, "Signature not valid in the specified time frame")
    return Reply(body=call.state.jobs[number].log.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})


def _rerun(call: Call) -> Reply:
    """All of a run, its failed jobs, or one job. Refused while the run is going on."""
    last = call.request.path.rpartition("/")[2]
    one = _job(call) if "job_id" in call.args else None
    run = call.state.runs[one.run] if one is not None else _run(call)
    jobs = call.state.jobs_of(run)
    if any(job.status in _OPEN for job in jobs):
        raise Refusal(403, "The workflow run is already running" if one is None else "This job cannot be rerun while its run is in progress")
    if one is not None:
        jobs = [job for job in jobs if job.name == one.name]
    elif last == "rerun-failed-jobs":
        jobs = [job for job in jobs if job.conclusion != "success"]
        if not jobs:
            raise Refusal(403, "This workflow run has no failed jobs")
    run.attempt += 1
    for job in jobs:
        call.state.again(job, run.attempt)
    return sends({}, 201)


def _cancel(call: Call) -> Reply:
    """What is queued ends at once, what runs is asked to; by force it ends at once too."""
    run = _run(call)
    jobs = [job for job in call.state.jobs_of(run) if job.status in _OPEN]
    if not jobs:
        raise Refusal(409, "Cannot cancel a workflow run that is completed.")
    for job in jobs:
        if job.status == "queued" or call.request.path.endswith("/force-cancel"):
            call.state.finish(job, "cancelled")
        else:
            job.cancel_asked = True
    return sends({}, 202)


def _dispatch(call: Call) -> Reply:
    """A run of one queued job called `dispatched`."""
    ref = call.need("ref", str).removeprefix("refs/heads/")
    if f"refs/heads/{ref}" not in call.here.refs:
        raise Refusal(422, f"No ref found for: {ref}")
    made = new_run(call, name=call.args["workflow_id"], event="workflow_dispatch", branch=ref)
    job = Job(id=next(call.state.ids), run=made.id, attempt=1, repo=call.scope, name="dispatched", labels=("self-hosted",), created=call.state.now())
    job.payload = {"inputs": call.body().get("inputs", {})}
    call.state.jobs[job.id] = job
    if not call.body().get("return_run_details"):
        return Reply(status=204)
    shown = shapes.run(call.state, made)
    return sends({"workflow_run_id": made.id, "run_url": shown["url"], "html_url": shown["html_url"]})


def new_run(call: Call, *, name: str, event: str, branch: str) -> Run:
    """A run without jobs yet."""
    state, repo = call.state, call.here
    number = 1 + sum(run.repo == repo.full_name for run in state.runs.values())
    at = repo.refs.get(f"refs/heads/{branch}", shapes.sha(repo.full_name, number))
    made = Run(id=next(state.ids), repo=repo.full_name, number=number, name=name, event=event, branch=branch, sha=at, created=state.now())
    state.runs[made.id] = made
    return made


_AT = "/repos/{owner}/{repo}/actions"
ROUTES = [
    Route(method="GET", pattern=f"{_AT}/runs", handler=_list, needs="actions:read"),
    Route(method="GET", pattern=_AT + "/runs/{run_id}", handler=_get, needs="actions:read"),
    Route(method="GET", pattern=_AT + "/runs/{run_id}/jobs", handler=_jobs, needs="actions:read"),
    Route(method="GET", pattern=_AT + "/runs/{run_id}/attempts/{attempt_number}/jobs", handler=_attempt, needs="actions:read"),
    Route(method="POST", pattern=_AT + "/runs/{run_id}/rerun", handler=_rerun, needs="actions:write"),
    Route(method="POST", pattern=_AT + "/runs/{run_id}/rerun-failed-jobs", handler=_rerun, needs="actions:write"),
    Route(method="POST", pattern=_AT + "/runs/{run_id}/cancel", handler=_cancel, needs="actions:write"),
    Route(method="POST", pattern=_AT + "/runs/{run_id}/force-cancel", handler=_cancel, needs="actions:write"),
    Route(method="GET", pattern=_AT + "/jobs/{job_id}", handler=_get_job, needs="actions:read"),
    Route(method="GET", pattern=_AT + "/jobs/{job_id}/logs", handler=_logs, needs="actions:read"),
    Route(method="POST", pattern=_AT + "/jobs/{job_id}/rerun", handler=_rerun, needs="actions:write"),
    Route(method="POST", pattern=_AT + "/workflows/{workflow_id}/dispatches", handler=_dispatch, needs="actions:write"),
    Route(method="GET", pattern="/_logs/{job_id}", handler=_log_text, open=True),
]
