"""GitLab's addresses for a runner itself: register, verify, ask for a job, send its trace, its result, its artifacts.

How a trace is appended and who is refused follows GitLab's own `lib/api/ci/runner.rb` and `app/services/ci/append_build_trace_service.rb`.
"""

from __future__ import annotations

import time
import zlib
from email import policy
from email.parser import BytesParser
from typing import Any

from ..exchange import sends
from ..faults import Reply
from . import shapes
from .routes import Call, Refusal, Route
from .state import GOING, Job, Runner

_FORBIDDEN = "403 Forbidden"


def _runner(call: Call) -> Runner:
    found = call.state.runner_by_token(call.text("token") or call.request.header("RUNNER-TOKEN"))
    if found is None:
        raise Refusal(403, _FORBIDDEN)
    return found


def _heard(call: Call, runner: Runner) -> None:
    info = call.params.get("info")
    call.state.heard(runner, info if isinstance(info, dict) else {}, call.text("system_id"))


def _register(call: Call) -> Reply:
    """The classic way, with a registration token; GitLab 17 and later has it switched off."""
    token, state = call.text("token"), call.state
    if not state.rules.classic_registration:
        raise Refusal(410, "410 Gone - Runner registration with a registration token is disallowed")
    project = next((one for one in state.projects.values() if token and one.registration_token == token), None)
    group = next((one for one in state.groups.values() if token and one.registration_token == token), None)
    if project is None and group is None:
        raise Refusal(403, "403 Forbidden - invalid token supplied")
    kind = "project_type" if project is not None else "group_type"
    numbers, tags = [project.id] if project is not None else [], call.words("tag_list") or []
    made = state.add_runner(kind=kind, description=call.text("description"), projects=numbers, group=group.id if group else None, tags=tags)
    made.run_untagged, made.locked = call.flag("run_untagged", default=not tags), call.flag("locked", default=False)
    made.paused = call.flag("paused", default=False)
    return sends(shapes.registered(made), 201)


def _unregister(call: Call) -> Reply:
    del call.state.runners[_runner(call).id]
    return Reply(status=204)


def _unregister_manager(call: Call) -> Reply:
    runner = _runner(call)
    if runner.managers.pop(call.text("system_id"), None) is None:
        raise Refusal(404, "404 Not found - system_id not found for runner")
    return Reply(status=204)


def _verify(call: Call) -> Reply:
    runner = _runner(call)
    _heard(call, runner)
    return sends(shapes.registered(runner))


def _reset(call: Call) -> Reply:
    runner = _runner(call)
    call.state.new_token(runner)
    return sends({"token": runner.token, "token_expires_at": shapes.when(runner.token_expires)}, 201)


def _request(call: Call) -> Reply:
    """201 with a job; 204 when there is none or the runner is paused, with the queue's value, which the runner tells next time."""
    state = call.state
    if state.rules.down_for_runners:
        raise Refusal(503, "503 Service Unavailable")
    until = time.monotonic() + state.rules.poll
    while True:
        if call.request.gone():
            return Reply(status=204)
        runner = _runner(call)
        _heard(call, runner)
        info = call.params.get("info")
        features = info.get("features", {}) if isinstance(info, dict) else {}
        job = None if runner.paused else state.next_job(runner)
        if job is not None:
            state.start(job, runner, call.text("system_id"), features)
            return sends(shapes.work(state, job), 201)
        left = until - time.monotonic()
        if left <= 0 or runner.paused or call.text("last_update") != str(state.queue_value):
            return Reply(status=204, headers={"X-GitLab-Last-Update": str(state.queue_value)})
        state.lock.wait(left)


def _job(call: Call, *, running: bool = True) -> Job:
    job = call.state.jobs.get(call.number("job"))
    if job is None or job.token != (call.text("token") or call.request.header("JOB-TOKEN")):
        raise Refusal(403, _FORBIDDEN)
    if running and job.status not in GOING:
        raise Refusal(403, "403 Forbidden - Job is not running", headers={"Job-Status": job.status})
    job.heard = call.state.now()
    worker = call.state.runners.get(job.runner or 0)
    if worker is not None and running:
        call.state.heard(worker, {}, "")
    return job


def _trace(call: Call) -> Reply:
    """Only the start of the range counts, as in GitLab; an end that is not the last byte's place is noted in `flags`. A gap is 416."""
    job, body = _job(call), call.request.body
    start, dash, end = call.request.header("Content-Range").partition("-")
    if not (dash and start.isdigit() and end.isdigit()):
        raise Refusal(400, "400 Missing header Content-Range")
    if int(start) > len(job.trace):
        raise Refusal(416, "416 Range Not Satisfiable", headers={"Range": f"0-{len(job.trace)}"})
    if body and int(end) != int(start) + len(body) - 1:
        off = int(end) - int(start) - len(body) + 1
        call.state.flags.append(f"job {job.id}: Content-Range {start}-{end} for {len(body)} bytes: its end is {off} off")
    job.trace = job.trace[: int(start)] + body
    headers = {"Job-Status": job.status, "Range": f"0-{len(job.trace)}", "X-GitLab-Trace-Update-Interval": str(call.state.rules.trace_interval)}
    return Reply(status=202, headers=headers)


def _update(call: Call) -> Reply:
    """200: written down; 202: come again; 412: the trace that was announced is not the one that came."""
    job, state, wanted = _job(call), call.state, call.text("state")
    output: Any = call.params.get("output")
    told = {"Job-Status": job.status, "X-GitLab-Trace-Update-Interval": str(state.rules.trace_interval)}
    if wanted in {"", "running"}:
        return Reply(body=b"200", headers=told)
    if isinstance(output, dict) and "bytesize" in output and int(output["bytesize"]) != len(job.trace):
        return Reply(status=412, body=b"412", headers=told)
    if isinstance(output, dict) and "checksum" in output and output["checksum"] != f"crc32:{zlib.crc32(job.trace):08x}":
        return Reply(status=412, body=b"412", headers=told)
    if job.delays > 0:
        job.delays -= 1
        return Reply(status=202, body=b"202", headers=told)
    code = call.params.get("exit_code")
    job.exit_code = code if isinstance(code, int) else None
    if job.status == "canceling":
        state.finish(job, "canceled")
    else:
        reason = (call.text("failure_reason") or "unknown_failure") if wanted == "failed" else None
        state.finish(job, "failed" if wanted == "failed" else "success", reason)
    return Reply(body=b"200", headers=told)


def _upload(call: Call) -> Reply:
    job = _job(call)
    head = b"Content-Type: " + call.request.header("Content-Type").encode() + b"\r\n\r\n"
    parsed = BytesParser(policy=policy.HTTP).parsebytes(head + call.request.body)
    for part in parsed.iter_parts() if parsed.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            job.archive = (part.get_filename() or "artifacts.zip", content if isinstance(content, bytes) else b"")
            return sends({"message": "201 Created"}, 201)
    raise Refusal(400, "", error="file is missing")


def _download(call: Call) -> Reply:
    job = _job(call, running=False)
    if job.archive is None:
        raise Refusal(404, "404 Not found")
    return Reply(body=job.archive[1], headers={"Content-Type": "application/octet-stream"})


ROUTES = [
    Route(method="POST", pattern="/runners", handler=_register, open=True),
    Route(method="DELETE", pattern="/runners", handler=_unregister, open=True),
    Route(method="DELETE", pattern="/runners/managers", handler=_unregister_manager, open=True),
    Route(method="POST", pattern="/runners/verify", handler=_verify, open=True),
    Route(method="POST", pattern="/runners/reset_authentication_token", handler=_reset, open=True),
    Route(method="POST", pattern="/jobs/request", handler=_request, open=True),
    Route(method="PATCH", pattern="/jobs/{job}/trace", handler=_trace, open=True),
    Route(method="PUT", pattern="/jobs/{job}", handler=_update, open=True),
    Route(method="POST", pattern="/jobs/{job}/artifacts", handler=_upload, open=True),
    Route(method="GET", pattern="/jobs/{job}/artifacts", handler=_download, open=True),
]
