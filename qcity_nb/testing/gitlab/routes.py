"""Which handler answers an address of the stand-in of GitLab, and whether the token may ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ..exchange import Request, address, page, sends
from ..faults import Reply
from .state import Group, Project, Runner, State, Token


class Refusal(Exception):
    """A reply that is an error."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **fields: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers, self.fields = status, message, dict(headers or {}), fields

    def reply(self) -> Reply:
        """As GitLab writes it: the fields, where there are any, else the message."""
        return sends(self.fields or {"message": self.message}, self.status, **self.headers)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request with what its address says, and the parameters from the query and the body, be it JSON or a form."""

    state: State
    request: Request
    args: Mapping[str, str]
    params: Mapping[str, Any]
    token: Token | None = None

    def number(self, name: str) -> int:
        """A part of the address that is an id.

        Raises:
            Refusal: it is no number.
        """
        if not self.args[name].isdigit():
            raise Refusal(400, "", error=f"{name} is invalid")
        return int(self.args[name])

    def text(self, name: str) -> str:
        """A parameter, or an empty text."""
        value = self.params.get(name)
        return "" if value is None else str(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """A parameter that is yes or no."""
        value = self.params.get(name, default)
        return value if isinstance(value, bool) else str(value).lower() in {"1", "true", "yes"}

    def words(self, name: str) -> list[str] | None:
        """A parameter that is a list, or words between commas."""
        value = self.params.get(name)
        if value is None:
            return None
        return [word.strip() for part in (value if isinstance(value, list) else [value]) for word in str(part).split(",") if word.strip()]

    def sees(self, path: str) -> bool:
        """Whether the token sees a project or group."""
        if self.token is None or self.token.sees is None:
            return True
        return any(path == seen or path.startswith(seen + "/") for seen in self.token.sees)

    def project(self) -> Project:
        """The project, by number or path.

        Raises:
            Refusal: 404.
        """
        wanted = self.args["project"]
        for one in self.state.projects.values():
            if wanted in {str(one.id), one.path} and self.sees(one.path):
                return one
        raise Refusal(404, "404 Project Not Found")

    def group(self) -> Group:
        """The group, by number or path.

        Raises:
            Refusal: 404.
        """
        wanted = self.args["group"]
        for one in self.state.groups.values():
            if wanted in {str(one.id), one.path} and self.sees(one.path):
                return one
        raise Refusal(404, "404 Group Not Found")

    def runner(self) -> Runner:
        """The runner whose number the address has.

        Raises:
            Refusal: 404, also for one that the token does not see: 403.
        """
        found = self.state.runners.get(self.number("runner"))
        if found is None:
            raise Refusal(404, "404 Runner Not Found")
        paths = [self.state.projects[number].path for number in found.projects]
        paths += [self.state.groups[found.group].path] if found.group is not None else []
        if paths and not any(self.sees(path) for path in paths):
            raise Refusal(403, "403 Forbidden - No access granted")
        return found

    def listing(self, items: Iterable[Any]) -> Reply:
        """A page, with GitLab's headers."""
        asked = self.request.query
        shown, total, headers = page(items, self.request, url=self.state.root() + "/api/v4" + self.request.raw, default=20)
        size, number = int(asked.get("per_page") or 20), int(asked.get("page") or 1)
        pages = max(1, -(-total // size))
        numbers = {"X-Total": total, "X-Total-Pages": pages, "X-Per-Page": size, "X-Page": number}
        headers |= {key: str(value) for key, value in numbers.items()}
        headers |= {"X-Next-Page": str(number + 1) if number < pages else "", "X-Prev-Page": str(number - 1) if number > 1 else ""}
        reply = sends(shown)
        reply.headers |= headers
        return reply


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, kw_only=True)
class Route:
    """An address and its handler. `scopes`: the token has one of them, or `api`; `open`: no token of the API at all."""

    method: str
    pattern: str
    handler: Handler
    scopes: tuple[str, ...] = ()
    open: bool = False

    def match(self, request: Request) -> dict[str, str] | None:
        """The parts of an address, or None when it is not this one's."""
        return address(self.pattern, request.raw) if request.method == self.method else None


def params(request: Request) -> dict[str, Any]:
    """What was given in the query and the body.

    Raises:
        Refusal: the body says that it is JSON and is none.
    """
    given: dict[str, Any] = dict(request.query)
    kind = request.header("Content-Type").partition(";")[0].strip()
    if kind == "application/json" and request.body:
        try:
            sent = json.loads(request.body)
        except ValueError:
            raise Refusal(400, "", error="Problems parsing JSON") from None
        given |= sent if isinstance(sent, dict) else {}
    elif kind == "application/x-www-form-urlencoded":
        for key, value in parse_qsl(request.body.decode(), keep_blank_values=True):
            name = key.removesuffix("[]")
            given[name] = [*given[name], value] if isinstance(given.get(name), list) else [given[name], value] if name in given else value
    return given


def known_token(state: State, request: Request) -> Token:
    """The token of a request.

    Raises:
        Refusal: 401.
    """
    kind, _, bearer = request.header("Authorization").partition(" ")
    value = request.header("PRIVATE-TOKEN") or (bearer if kind.lower() == "bearer" else "") or request.query.get("private_token", "")
    token = state.tokens.get(value)
    if token is None:
        raise Refusal(401, "401 Unauthorized")
    if token.expires is not None and token.expires <= state.now():
        said = "Token is expired. You can either do re-authorization or token refresh."
        raise Refusal(401, "", error="invalid_token", error_description=said)
    return token


def allowed(route: Route, token: Token) -> None:
    """Nothing, when the token's scopes are enough.

    Raises:
        Refusal: 403, naming what would be enough.
    """
    if not token.scopes & {"api", *route.scopes}:
        enough, said = " ".join(["api", *route.scopes]), "The request requires higher privileges than provided by the access token."
        raise Refusal(403, "", error="insufficient_scope", error_description=said, scope=enough)
