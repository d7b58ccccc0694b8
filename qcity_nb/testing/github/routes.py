"""Which handler answers an address of the stand-in of GitHub, and whether the token may ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..exchange import Request, address, page, sends
from ..faults import Reply
from .state import Repo, State, Token

T = TypeVar("T")
DOCS = "https://docs.github.com/rest"
LEVELS = ("read", "write", "admin")
SCOPES = (("/repos/{owner}/{repo}", "administration"), ("/orgs/{org}", "organization_self_hosted_runners"))
"""Where runners are registered, and the permission that this takes."""


class Refusal(Exception):
    """A reply that is an error."""

    def __init__(self, status: int, message: str, *, errors: list[Any] | None = None, needs: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.errors, self.needs = status, message, errors, needs

    def reply(self) -> Reply:
        """As GitHub writes it."""
        body: dict[str, Any] = {"message": self.message, "documentation_url": DOCS, "status": str(self.status)}
        if self.errors is not None:
            body["errors"] = self.errors
        reply = sends(body, self.status)
        if self.needs:
            reply.headers["X-Accepted-GitHub-Permissions"] = self.needs
        return reply


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request with what its address says: the repository or the organisation, and the other parts."""

    state: State
    request: Request
    args: Mapping[str, str]
    token: Token | None
    repo: Repo | None = None
    organisation: str = ""

    @property
    def scope(self) -> str:
        """owner/name or the organisation."""
        return self.repo.full_name if self.repo is not None else self.organisation

    @property
    def here(self) -> Repo:
        """The repository."""
        assert self.repo is not None
        return self.repo

    def number(self, name: str) -> int:
        """A part of the address that is an id.

        Raises:
            Refusal: it is no number.
        """
        if not self.args[name].isdigit():
            raise Refusal(404, "Not Found")
        return int(self.args[name])

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent.

        Raises:
            Refusal: it is none.
        """
        try:
            sent = self.request.json()
        except ValueError:
            raise Refusal(400, "Problems parsing JSON") from None
        if not isinstance(sent, dict):
            raise Refusal(400, "Body should be a JSON object")
        return sent

    def need(self, name: str, kind: type[T]) -> T:
        """A field of the body.

        Raises:
            Refusal: it is missing or of another type.
        """
        value = self.body().get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise Refusal(422, f"Invalid request.\n\n{name!r} must be given and be of type {kind.__name__}.")
        return value

    def listing(self, name: str, items: Iterable[Any]) -> Reply:
        """A page of a list that is an object with a count."""
        shown, total, links = page(items, self.request, url=self.state.api() + self.request.path)
        return sends({"total_count": total, name: shown}, 200, **links)

    def array(self, items: Iterable[Any]) -> Reply:
        """A page of a list that is an array."""
        shown, _, links = page(items, self.request, url=self.state.api() + self.request.path)
        return sends(shown, 200, **links)


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, kw_only=True)
class Route:
    """An address and its handler. `needs` is a permission and a level, as `actions:write`; empty: any token; `open`: none at all."""

    method: str
    pattern: str
    handler: Handler
    needs: str = ""
    open: bool = False

    def match(self, request: Request) -> dict[str, str] | None:
        """The parts of an address, or None when it is not this one's."""
        return address(self.pattern, request.raw) if request.method == self.method else None


def level(token: Token, needs: str) -> bool:
    """Whether a token has a permission at a level or above."""
    name, _, wanted = needs.partition(":")
    if not name or token.permissions is None:
        return True
    has = token.permissions.get(name, "")
    return has in LEVELS and LEVELS.index(has) >= LEVELS.index(wanted)


def bearer(request: Request) -> str:
    """The token of a request, or an empty text."""
    kind, _, value = request.header("Authorization").partition(" ")
    return value.strip() if kind.lower() in {"bearer", "token"} else ""


def known_token(state: State, request: Request) -> Token:
    """The token of a request.

    Raises:
        Refusal: 401, as GitHub does without one, and with an unknown or expired one.
    """
    if not request.header("Authorization"):
        raise Refusal(401, "Requires authentication")
    token = state.tokens.get(bearer(request))
    if token is None or (token.expires is not None and token.expires <= state.now()):
        raise Refusal(401, "Bad credentials")
    return token


def call(state: State, route: Route, request: Request, args: dict[str, str], token: Token | None) -> Call:
    """The request with its repository or organisation, which the token can see and has the permission for.

    Raises:
        Refusal: 404 for what it cannot see, 403 with the name of the permission that is missing.
    """
    made = Call(state=state, request=request, args=args, token=token)
    wanted = f"{args['owner']}/{args['repo']}" if "repo" in args else args.get("org", "")
    if wanted:
        sees = token is None or token.sees is None or wanted.lower() in token.sees
        repo, organisation = state.repos.get(wanted.lower()), wanted if wanted.lower() in state.organisations else ""
        if not sees or (repo is None and not organisation):
            raise Refusal(404, "Not Found")
        made = Call(state=state, request=request, args=args, token=token, repo=repo, organisation=organisation)
    if token is not None and not level(token, route.needs):
        raise Refusal(403, "Resource not accessible by personal access token", needs=route.needs.replace(":", "="))
    return made
