"""GitLab's addresses about merge requests of a project."""

from __future__ import annotations

from ..exchange import sends
from ..faults import Reply
from . import shapes
from .routes import Call, Refusal, Route
from .state import Merge

STATES = frozenset({"opened", "closed", "locked", "merged", "all"})


def _listed(call: Call) -> Reply:
    """Newest first; `state`, `source_branch` and `target_branch` choose."""
    project, state = call.project(), call.text("state") or "all"
    if state not in STATES:
        raise Refusal(400, "", error="state does not have a valid value")
    source, target = call.text("source_branch"), call.text("target_branch")
    fits = [one for one in reversed(project.merges) if state in {"all", one.state} and source in {"", one.source} and target in {"", one.target}]
    if call.text("sort") == "asc":
        fits.reverse()
    return call.listing(shapes.merge(call.state, project, one) for one in fits)


def _make(call: Call) -> Reply:
    """400: a parameter is missing, or a branch is not there; 409: there is an open one of this branch."""
    project, wanted = call.project(), ("source_branch", "target_branch", "title")
    if missing := [name for name in wanted if not call.text(name)]:
        raise Refusal(400, "", error=", ".join(f"{name} is missing" for name in missing))
    source, target = call.text("source_branch"), call.text("target_branch")
    if gone := [name for name in (source, target) if f"refs/heads/{name}" not in project.refs]:
        raise Refusal(400, f'Validation failed: the branch "{gone[0]}" does not exist')
    if twin := next((one for one in project.merges if one.state == "opened" and (one.source, one.target) == (source, target)), None):
        raise Refusal(409, f"Another open merge request already exists for this source branch: !{twin.number}")
    made = Merge(id=next(call.state.ids), number=1 + len(project.merges), source=source, target=target, created=call.state.now())
    made.title, made.description = call.text("title"), call.text("description")
    project.merges.append(made)
    return sends(shapes.merge(call.state, project, made), 201)


def _merge(call: Call) -> Merge:
    found = next((one for one in call.project().merges if one.number == call.number("merge")), None)
    if found is None:
        raise Refusal(404, "404 Not found")
    return found


def _one(call: Call) -> Reply:
    return sends(shapes.merge(call.state, call.project(), _merge(call)))


def _change(call: Call) -> Reply:
    """400 when nothing is to be changed."""
    one, event = _merge(call), call.text("state_event")
    if not set(call.params) & {"title", "description", "state_event", "target_branch"}:
        raise Refusal(400, "", error="title, description, state_event, target_branch are missing, at least one parameter must be provided")
    if event not in {"", "close", "reopen"}:
        raise Refusal(400, "", error="state_event does not have a valid value")
    one.title, one.target = call.text("title") or one.title, call.text("target_branch") or one.target
    one.description = call.text("description") if "description" in call.params else one.description
    if event and one.state in {"opened", "closed"}:
        one.state = "closed" if event == "close" else "opened"
    return sends(shapes.merge(call.state, call.project(), one))


_P = "/projects/{project}/merge_requests"
ROUTES = [
    Route(method="GET", pattern=_P, handler=_listed, scopes=("read_api",)),
    Route(method="POST", pattern=_P, handler=_make),
    Route(method="GET", pattern=_P + "/{merge}", handler=_one, scopes=("read_api",)),
    Route(method="PUT", pattern=_P + "/{merge}", handler=_change),
]
