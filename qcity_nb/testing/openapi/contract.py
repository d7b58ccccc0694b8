"""Holds requests and replies against GitHub's own description of its API, with `openapi-core`. It says what is wrong; it never raises about it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from ..exchange import Request
from ..faults import Reply

HOST = "https://api.github.com"


class ContractBroken(AssertionError):
    """What was asked or answered is not what GitHub describes."""


def available() -> bool:
    """Whether `openapi-core` is installed."""
    return importlib.util.find_spec("openapi_core") is not None


@cache
def document() -> dict[str, Any]:
    """The vendored document, read once."""
    text = files(__package__).joinpath("github.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def _checker() -> Any:
    try:
        from openapi_core import Config, OpenAPI
    except ImportError as error:
        raise ModuleNotFoundError("checking the contract needs openapi-core: pip install openapi-core") from error
    return OpenAPI.from_dict(document(), config=Config(spec_validator_cls=None))  # GitHub's document is not ours to check


def _errors(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _said(error: Exception) -> str:
    """The words of the error; what the schema found and where, or the words of the errors that it came from."""
    found = [inner for one in _errors(error) for inner in getattr(one, "schema_errors", ())]
    lines = ["/".join(map(str, one.absolute_path)) + ": " + one.message[:200] for one in found]
    causes = [str(one)[:300] for one in _errors(error)]
    return "; ".join(dict.fromkeys([causes[0].partition(": Value")[0], *lines] if lines else causes))


def _as_openapi(pattern: str, request: Request, args: Mapping[str, str]) -> Any:
    from openapi_core.testing import MockRequest

    path = pattern
    for name, value in args.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))  # GitHub's `path` and `ref` hold slashes; OpenAPI has no word for that
    headers = dict(request.headers.items())
    if bearer := headers.get("Authorization", "").partition(" ")[2]:
        headers["Authorization"] = f"Bearer {bearer}"  # GitHub takes `token …` as well
    kind = request.header("Content-Type").partition(";")[0] or "application/json"
    return MockRequest(
        HOST,
        request.method.lower(),
        path,
        args=dict(request.query),
        headers=headers,
        view_args=dict(args),
        data=request.body or None,
        content_type=kind,
    )


def broken_request(pattern: str, request: Request, args: Mapping[str, str]) -> str:
    """What is wrong with a request; an empty text when nothing is."""
    from openapi_core.exceptions import OpenAPIError

    try:
        _checker().validate_request(_as_openapi(pattern, request, args))
    except (OpenAPIError, ValueError) as error:
        return _said(error)
    return ""


def broken_reply(pattern: str, request: Request, args: Mapping[str, str], reply: Reply) -> str:
    """What is wrong with a reply; an empty text when nothing is, or when GitHub does not describe this error."""
    documented = document()["paths"][pattern][request.method.lower()]["responses"]
    if str(reply.status) not in documented and (reply.status >= 400 or reply.status == 304):
        return ""
    from openapi_core.exceptions import OpenAPIError
    from openapi_core.testing import MockResponse

    kind = reply.headers.get("Content-Type", "").partition(";")[0] or "application/json"
    said = MockResponse(reply.body, reply.status, dict(reply.headers), kind)
    try:
        _checker().validate_response(_as_openapi(pattern, request, args), said)
    except (OpenAPIError, ValueError) as error:
        return _said(error)
    return ""
