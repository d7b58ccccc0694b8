"""GitHub's addresses about runners: tokens to register, JIT configurations, the list, labels, groups, downloads."""

from __future__ import annotations

import base64
import json
from typing import Any

from ..exchange import sends, zulu
from ..faults import Reply
from . import shapes
from .routes import SCOPES, Call, Refusal, Route
from .state import READ_ONLY, Runner


def _runner(call: Call) -> Runner:
    found = call.state.runners.get(call.number("runner_id"))
    if found is None or found.scope.lower() != call.scope.lower():
        raise Refusal(404, "Not Found")
    return found


def _grant(call: Call) -> Reply:
    value, expires = call.state.grant(call.request.path.rpartition("/")[2], call.scope)
    return sends({"token": value, "expires_at": zulu(expires)}, 201)


def _names(call: Call) -> list[str]:
    sent = call.need("labels", list)
    if len(sent) > 100 or not all(isinstance(name, str) and 0 < len(name) <= 256 for name in sent):
        raise Refusal(422, "Invalid label name", errors=["labels"])
    return sent


def _jit(call: Call) -> Reply:
    """A runner that exists before it ever ran, and everything that its listener needs. 409: the name is taken."""
    name, group, names = call.need("name", str), call.need("runner_group_id", int), _names(call)
    groups = call.state.organisations.get(call.organisation.lower(), {1: None})
    if group not in groups:
        raise Refusal(404, "Not Found")
    if not names or not name or len(name) > 64:
        raise Refusal(422, "Validation Failed", errors=["labels" if name else "name"])
    if any(known.name.lower() == name.lower() for known in call.state.runners_of(call.scope)):
        raise Refusal(409, f"Already exists - A runner with the name '{name}' already exists.")
    made = call.state.add_runner(name=name, scope=call.scope, labels=names, ephemeral=True, group=group)
    folder = call.body().get("work_folder", "_work")
    return sends({"runner": shapes.runner(call.state, made), "encoded_jit_config": jit_config(call, made, folder)}, 201)


def jit_config(call: Call, runner: Runner, folder: str) -> str:
    """base64 of JSON {file name: base64 of the file}, as the listener takes it apart."""
    root = call.state.root()
    settings = {"AgentId": str(runner.id), "AgentName": runner.name, "PoolId": "1", "PoolName": "Default", "DisableUpdate": "false"}
    settings |= {"ServerUrl": f"{root}/_agent/", "GitHubUrl": f"{root}/{runner.scope}", "WorkFolder": folder, "Ephemeral": "true"}
    credentials = {"scheme": "OAuth", "data": {"clientId": runner.secret, "authorizationUrl": f"{root}/_agent/token"}}
    files: dict[str, Any] = {".runner": settings, ".credentials": credentials, ".credentials_rsaparams": {"d": runner.secret}}
    packed = {name: base64.b64encode(json.dumps(content).encode()).decode() for name, content in files.items()}
    return base64.b64encode(json.dumps(packed).encode()).decode()


def _list(call: Call) -> Reply:
    name = call.request.query.get("name")
    found = [one for one in call.state.runners_of(call.scope) if not name or one.name == name]
    return call.listing("runners", (shapes.runner(call.state, one) for one in found))


def _get(call: Call) -> Reply:
    return sends(shapes.runner(call.state, _runner(call)))


def _delete(call: Call) -> Reply:
    runner = _runner(call)
    if runner.busy:
        raise Refusal(422, f'Bad request - Runner "{runner.name}" is currently running a job and cannot be deleted.')
    del call.state.runners[runner.id]
    return Reply(status=204)


def _labels(call: Call) -> Reply:
    """GET lists, POST adds, PUT replaces the custom ones, DELETE takes the custom ones or one of them away."""
    runner, method = _runner(call), call.request.method
    fixed = [name for name in runner.labels if name.lower() in READ_ONLY]
    if method == "POST":
        runner.labels = list(dict.fromkeys([*runner.labels, *_names(call)]))
    elif method == "PUT":
        runner.labels = list(dict.fromkeys([*fixed, *_names(call)]))
    elif method == "DELETE" and "name" in call.args:
        name = call.args["name"]
        if name.lower() in READ_ONLY:
            raise Refusal(422, f"The label '{name}' is read-only and cannot be removed.", errors=["name"])
        if name not in runner.labels:
            raise Refusal(404, "Not Found")
        runner.labels.remove(name)
    elif method == "DELETE":
        runner.labels = fixed
    shown = shapes.labels(runner)
    return sends({"total_count": len(shown), "labels": shown})


def _groups(call: Call) -> Reply:
    found = call.state.organisations[call.organisation.lower()].values()
    return call.listing("runner_groups", (shapes.group(call.state, call.organisation, one) for one in found))


def _downloads(call: Call) -> Reply:
    """The archives that a test has put there. GitHub leaves the checksum out at times: then it is no key at all."""
    shown = []
    for one in call.state.downloads:
        offer = {"os": one.os, "architecture": one.architecture, "filename": one.filename}
        offer["download_url"] = f"{call.state.root()}/_downloads/{one.filename}"
        shown.append(offer | ({} if one.sha256 is None else {"sha256_checksum": one.sha256}))
    return sends(shown)


def _archive(call: Call) -> Reply:
    for one in call.state.downloads:
        if one.filename == call.args["name"]:
            return Reply(body=one.archive, headers={"Content-Type": "application/octet-stream"})
    raise Refusal(404, "Not Found")


def _routes() -> list[Route]:
    routes = [Route(method="GET", pattern="/_downloads/{name}", handler=_archive, open=True)]
    for prefix, permission in SCOPES:
        at, read, write = f"{prefix}/actions/runners", f"{permission}:read", f"{permission}:write"
        table = [
            ("POST", "/registration-token", _grant, write),
            ("POST", "/remove-token", _grant, write),
            ("POST", "/generate-jitconfig", _jit, write),
            ("GET", "", _list, read),
            ("GET", "/downloads", _downloads, read),
            ("GET", "/{runner_id}", _get, read),
            ("DELETE", "/{runner_id}", _delete, write),
            ("GET", "/{runner_id}/labels", _labels, read),
            ("POST", "/{runner_id}/labels", _labels, write),
            ("PUT", "/{runner_id}/labels", _labels, write),
            ("DELETE", "/{runner_id}/labels", _labels, write),
            ("DELETE", "/{runner_id}/labels/{name}", _labels, write),
        ]
        routes += [Route(method=method, pattern=at + rest, handler=handler, needs=needs) for method, rest, handler, needs in table]
    needs = "organization_self_hosted_runners:read"
    return [*routes, Route(method="GET", pattern="/orgs/{org}/actions/runner-groups", handler=_groups, needs=needs)]


ROUTES = _routes()
