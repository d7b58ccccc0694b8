"""The side of GitHub that its listener talks to. GitHub does not describe it: these addresses are our own, under `/_agent`, for scripted listeners.

Errors carry a `code` beside the message: session_conflict, runner_deleted, version_deprecated, clock_skew, bad_credential, name_taken, job_gone.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from datetime import datetime, timezone
from typing import Any

from ..exchange import sends
from ..faults import Reply
from .routes import Call, Refusal, Route
from .state import Job, Runner

_DONE = {"success", "failure", "cancelled", "skipped", "neutral", "timed_out"}


def _no(status: int, code: str, message: str) -> Reply:
    return sends({"code": code, "message": message}, status)


def _register(call: Call) -> Reply:
    """With a registration token: {token, name, labels, os, version, ephemeral, replace, group}; with a JIT configuration: {jit}, encoded or decoded.

    201 {agent_id, name, credential, ephemeral, labels, scope}. 401 for a token that is unknown or old, 409 name_taken without `replace`.
    """
    sent, state = call.body(), call.state
    if "jit" in sent:
        settings, secret = _jit(sent["jit"])
        runner = state.runners.get(int(settings.get("AgentId", 0)))
        if runner is None or runner.secret != secret:
            return _no(404, "runner_deleted", "The runner registration has been deleted from the server")
        runner.os = sent.get("os", "linux")
        return _registered(runner)
    scope = state.granted(str(sent.get("token", "")), "registration-token")
    if scope is None:
        return _no(404, "bad_credential", "Http response code: NotFound from 'POST actions/runner-registration'")
    name, labels = str(sent.get("name", "")), [str(label) for label in sent.get("labels", [])]
    twin = next((one for one in state.runners_of(scope) if one.name.lower() == name.lower()), None)
    if twin is not None and not sent.get("replace"):
        return _no(409, "name_taken", f"A runner exists with the same name {name}")
    if twin is not None:
        del state.runners[twin.id]
    defaults = [] if sent.get("no_default_labels") else ["self-hosted", "Linux", "X64"]
    ephemeral, os = bool(sent.get("ephemeral")), str(sent.get("os", "linux"))
    return _registered(state.add_runner(name=name, scope=scope, labels=[*defaults, *labels], ephemeral=ephemeral, os=os))


def _jit(given: Any) -> tuple[dict[str, Any], str]:
    files = json.loads(base64.b64decode(given)) if isinstance(given, str) else given

    def content(name: str) -> dict[str, Any]:
        held = files.get(name, {})
        read = json.loads(base64.b64decode(held)) if isinstance(held, str) else held
        return dict(read)

    return content(".runner"), str(content(".credentials").get("data", {}).get("clientId", ""))


def _registered(runner: Runner) -> Reply:
    shown = {"agent_id": runner.id, "name": runner.name, "credential": runner.secret, "ephemeral": runner.ephemeral}
    return sends({**shown, "labels": runner.labels, "scope": runner.scope}, 201)


def _unregister(call: Call) -> Reply:
    """{token: a remove token, agent_id}. 204; 404 for one that is gone, 422 while it is busy."""
    sent, state = call.body(), call.state
    scope = state.granted(str(sent.get("token", "")), "remove-token")
    if scope is None:
        return _no(404, "bad_credential", "Http response code: NotFound from 'POST actions/runner-registration'")
    runner = state.runners.get(int(sent.get("agent_id", 0)))
    if runner is None or runner.scope != scope:
        return _no(404, "runner_deleted", "The runner no longer exists on the server")
    if runner.busy:
        return _no(422, "busy", f'Runner "{runner.name}" is running a job')
    del state.runners[runner.id]
    return Reply(status=204)


def _open_session(call: Call) -> Reply:
    """{agent_id, credential, version, time?}: 201 {session}. `time` is what the agent's clock shows; when that is far off, 401 clock_skew."""
    sent, state = call.body(), call.state
    runner = state.runners.get(int(sent.get("agent_id", 0)))
    if runner is None:
        return _no(404, "runner_deleted", "The runner registration has been deleted from the server")
    if runner.secret != sent.get("credential"):
        return _no(401, "bad_credential", "The credential is not this runner's")
    if sent.get("time") and abs(_moment(str(sent["time"])) - state.now()) > state.rules.max_skew:
        return _no(401, "clock_skew", "The token is not valid at this time")
    version = str(sent.get("version", ""))
    if state.rules.minimum_version and _parts(version) < _parts(state.rules.minimum_version):
        return _no(403, "version_deprecated", f"Runner version v{version} is deprecated and cannot receive messages.")
    if runner.session and runner.session_seen and state.now() - runner.session_seen < state.rules.session_life:
        return _no(409, "session_conflict", "A session for this runner already exists.")
    runner.session, runner.version = secrets.token_hex(8), version or None
    _heard(call, runner)
    return sends({"session": runner.session, "agent_id": runner.id, "name": runner.name}, 201)


def _moment(text: str) -> datetime:
    said = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return said if said.tzinfo else said.replace(tzinfo=timezone.utc)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _heard(call: Call, runner: Runner) -> None:
    runner.seen = runner.session_seen = call.state.now()


def _with_session(call: Call) -> Runner | None:
    wanted = call.request.query.get("session", "")
    return next((one for one in call.state.runners.values() if wanted and one.session == wanted), None)


def _message(call: Call) -> Reply:
    """?session=&wait=: 200 {type, body}, or 204 when there was nothing for `wait` seconds (default: the rule `poll`).

    Types: RunnerJobRequest (body: the job), JobCancellation (body: {job_id}), and whatever a test pushed, as AgentRefresh. ?busy=1 asks for no job.
    404 runner_deleted when the runner is gone or its session is over. A job that nobody has spoken of since it was offered is offered to the runner's
    next session again; a caller that has hung up is offered nothing.
    """
    state = call.state
    until = time.monotonic() + float(call.request.query.get("wait") or state.rules.poll)
    while True:
        if call.request.gone():
            return Reply(status=204)
        state.settle()
        runner = _with_session(call)
        if runner is None:
            return _no(404, "runner_deleted", "The runner no longer exists on the server, or its session is over")
        _heard(call, runner)
        said = _next_message(call, runner)
        if said is not None:
            return sends(said)
        left = until - time.monotonic()
        if left <= 0:
            return Reply(status=204)
        state.lock.wait(left)


def _next_message(call: Call, runner: Runner) -> dict[str, Any] | None:
    state = call.state
    if runner.messages:
        return runner.messages.popleft()
    job = state.jobs.get(runner.job or 0)
    if job is not None and job.cancel_asked:
        job.cancel_asked = False
        return {"type": "JobCancellation", "body": {"job_id": job.id}}
    if job is not None and not job.taken and job.session != runner.session:
        return _offer(job, runner)
    if runner.busy or runner.gone_at is not None or call.request.query.get("busy"):
        return None
    waiting = state.next_job(runner)
    if waiting is None:
        return None
    state.assign(waiting, runner)
    return _offer(waiting, runner)


def _offer(waiting: Job, runner: Runner) -> dict[str, Any]:
    waiting.session = runner.session
    shown = {"id": waiting.id, "run_id": waiting.run, "name": waiting.name, "attempt": waiting.attempt, "labels": list(waiting.labels)}
    return {"type": "RunnerJobRequest", "body": {**shown, "repository": waiting.repo, "payload": waiting.payload}}


def _job(call: Call) -> Job | None:
    runner, job = _with_session(call), call.state.jobs.get(call.number("job_id"))
    if job is None or job.status != "in_progress" or runner is None or job.runner != runner.id:
        return None
    _heard(call, runner)
    job.taken = True
    return job


def _report(call: Call) -> Reply:
    """?session=: {conclusion, steps, log}, each optional; `log` is appended. A conclusion ends the job. 404 job_gone: it is not ours any more."""
    job = _job(call)
    if job is None:
        return _no(404, "job_gone", "The job is not assigned to this runner")
    sent = call.body()
    if isinstance(sent.get("steps"), list):
        job.steps = [_step(number, step) for number, step in enumerate(sent["steps"], 1)]
    job.log += str(sent.get("log", ""))
    conclusion = sent.get("conclusion")
    if conclusion is not None and conclusion not in _DONE:
        raise Refusal(422, f"{conclusion!r} is no conclusion")
    if conclusion:
        call.state.finish(job, str(conclusion))
    return sends({"status": job.status})


def _step(number: int, step: dict[str, Any]) -> dict[str, Any]:
    conclusion = step.get("conclusion")
    status = step.get("status", "completed" if conclusion else "in_progress")
    return {"name": f"step {number}", "number": number, "started_at": None, "completed_at": None, **step, "status": status, "conclusion": conclusion}


def _renew(call: Call) -> Reply:
    """?session=: the job is kept for another lock life; {valid_till, cancel}."""
    job = _job(call)
    if job is None:
        return _no(404, "job_gone", "The job is not assigned to this runner")
    job.locked_until = call.state.now() + call.state.rules.lock_life
    return sends({"valid_till": job.locked_until.isoformat(), "cancel": job.cancel_asked})


def _close_session(call: Call) -> Reply:
    """?session=: 204, always. The runner is offline at once."""
    runner = _with_session(call)
    if runner is not None:
        runner.session = runner.session_seen = None
        runner.seen = call.state.now() - call.state.rules.offline_after
    return Reply(status=204)


ROUTES = [
    Route(method="POST", pattern="/_agent/register", handler=_register, open=True),
    Route(method="DELETE", pattern="/_agent/register", handler=_unregister, open=True),
    Route(method="POST", pattern="/_agent/session", handler=_open_session, open=True),
    Route(method="DELETE", pattern="/_agent/session", handler=_close_session, open=True),
    Route(method="GET", pattern="/_agent/message", handler=_message, open=True),
    Route(method="POST", pattern="/_agent/job/{job_id}", handler=_report, open=True),
    Route(method="POST", pattern="/_agent/job/{job_id}/renew", handler=_renew, open=True),
]
