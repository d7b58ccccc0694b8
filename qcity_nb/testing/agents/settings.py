"""The files of a scripted listener's registration (`ConfigurationStore.cs` of actions/runner), and the verbs `configure` and `remove`."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .console import Console
from .wire import Unreachable, Wire

FILES = (".runner", ".credentials", ".credentials_rsaparams")
INPUT = "ACTIONS_RUNNER_INPUT_"
"""Any option may come in the environment behind this; all of these are taken out of it."""
TAKEN = (
    "Cannot configure the runner because it is already configured."
    " To reconfigure the runner, run 'config.cmd remove' or './config.sh remove' first."
)
CLOCK = (
    "The local machine's clock may be out of sync with the server time by more than five minutes."
    " Please sync your clock with your domain or internet time and try again."
)
PHRASES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 422: "UnprocessableEntity"}


class Terminated(Exception):
    """A command ends with code 1; its text goes to stderr."""


def inputs(argv: list[str]) -> dict[str, str]:
    """The options of a command line as `--name value`, completed by the environment, where they are removed at once."""
    found: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            found[word[2:].lower()] = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
    for key in [key for key in os.environ if key.startswith(INPUT)]:
        found.setdefault(key.removeprefix(INPUT).lower(), os.environ.pop(key))
    return found


def configured(root: Path) -> bool:
    """Whether there is a registration."""
    return (root / ".runner").exists()


def load(root: Path) -> dict[str, Any]:
    """`.runner`, its keys in small letters, and `credential`."""
    held = {key.lower(): value for key, value in json.loads((root / ".runner").read_text("utf-8-sig")).items()}
    credentials = json.loads((root / ".credentials").read_text("utf-8-sig"))
    held["credential"] = str({key.lower(): value for key, value in credentials.items()}["data"]["clientId"])
    return held


def true(value: Any) -> bool:
    """A switch as these files have it, a boolean or a word."""
    return str(value).lower() in {"true", "1"}


def install(root: Path, encoded: str) -> list[tuple[str, int]]:
    """Write the files of a just-in-time configuration; their names and sizes.

    Raises:
        Terminated: it is no such thing.
    """
    try:
        files = {name: base64.b64decode(content, validate=True) for name, content in json.loads(base64.b64decode(encoded, validate=True)).items()}
    except (ValueError, TypeError, AttributeError):
        raise Terminated("The input is not a valid Base-64 string as it contains a non-base 64 character.") from None
    for name, content in files.items():
        _write(root / name, content)
    return [(name, len(content)) for name, content in files.items()]


def forget(root: Path, console: Console) -> None:
    """Remove the files."""
    for name in (".credentials", ".runner"):
        if (root / name).exists():
            (root / name).unlink()
            (root / ".credentials_rsaparams").unlink(missing_ok=True)
            console.success(f"Removed {name}")
        else:
            console.line(f"Does not exist. Skipping Removing {name}")


def configure(root: Path, given: dict[str, str], console: Console, *, version: str, fault: str) -> None:
    """Register with a token, unattended.

    Raises:
        Terminated: it could not be done.
    """
    console.banner()
    if configured(root) or fault == "already_configured":
        raise Terminated(TAKEN)
    console.section("Authentication")
    url = given.get("url", "").rstrip("/")
    for name in ("url", "token"):
        if not given.get(name):
            raise Terminated(f"Invalid configuration provided for {name}. Terminating unattended configuration.")
    if not 1 <= len(urlsplit(url).path.strip("/").split("/")) <= 2 or not urlsplit(url).path.strip("/"):
        raise Terminated(f"'{url}' should point to an org or repository.")
    name, labels = given.get("name") or os.uname().nodename, [one.strip() for one in given.get("labels", "").split(",") if one.strip()]
    token = "" if fault == "not_found" else given["token"]
    sent: dict[str, Any] = {"token": token, "name": name, "labels": labels, "os": "linux", "version": version}
    sent |= {"ephemeral": "ephemeral" in given, "replace": "replace" in given, "no_default_labels": "no-default-labels" in given}
    status, reply = _post(url, sent, console, api=_api(url))
    console.success("Connected to GitHub")
    console.section("Runner Registration")
    if status == 409:
        console.line("A runner exists with the same name")
        raise Terminated(f"A runner exists with the same name {name}.")
    console.success("Runner successfully added")
    console.success("Runner connection is good")
    console.section("Runner settings")
    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.netloc}/_agent/"
    settings: dict[str, Any] = {"agentId": reply["agent_id"], "agentName": name, "poolId": 1, "poolName": given.get("runnergroup") or "Default"}
    settings |= {"disableUpdate": True} if "disableupdate" in given else {}
    settings |= {"ephemeral": True} if "ephemeral" in given else {}
    settings |= {"serverUrl": server, "gitHubUrl": url, "workFolder": given.get("work", "_work")}
    secret = {"clientId": reply["credential"], "authorizationUrl": f"{server}token", "requireFipsCryptography": "True"}
    credentials = {"scheme": "OAuth", "data": secret}
    for file, content in zip(FILES, (settings, credentials, {"d": reply["credential"]}), strict=True):
        _write(root / file, b"\xef\xbb\xbf" + json.dumps(content, indent=2).encode())
    console.line()
    console.success("Settings Saved.")
    console.line()


def remove(root: Path, given: dict[str, str], console: Console) -> None:
    """Unregister, or with `--local` forget only the files.

    Raises:
        Terminated: it could not be done.
    """
    if "local" in given:
        forget(root, console)
        return
    console.section("Runner removal")
    if configured(root):
        held = load(root)
        url = str(held["githuburl"])
        status, reply = _post(url, {"token": given.get("token", ""), "agent_id": int(held["agentid"])}, console, method="DELETE", api=_api(url))
        if status >= 400:
            console.error("Failed: Removing runner from the server")
            raise Terminated(str(reply.get("message", "")))
        console.line()
        console.success("Runner removed successfully")
    else:
        console.line("Cannot connect to server, because config files are missing. Skipping removing runner from the server.")
    forget(root, console)


def _post(url: str, sent: dict[str, Any], console: Console, *, api: str, method: str = "POST") -> tuple[int, dict[str, Any]]:
    """Ask for a registration or its end. 404 of the token is fatal at once."""
    try:
        status, reply = Wire(url).ask(method, "/_agent/register", sent)
    except Unreachable as error:
        raise Terminated(str(error)) from error
    if reply.get("code") == "bad_credential":
        console.error(f"Http response code: NotFound from 'POST {api}' (Request Id: 0400:1A2B:3C4D5E:6F7081:65000000)")
        console.error(json.dumps({"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}))
        raise Terminated("Response status code does not indicate success: 404 (Not Found).")
    if status >= 400 and status not in {404, 409, 422}:
        raise Terminated(f"Response status code does not indicate success: {status} ({PHRASES.get(status, '')}).")
    return status, reply


def _api(url: str) -> str:
    parts = urlsplit(url)
    host = f"api.{parts.netloc}" if parts.netloc == "github.com" else f"{parts.netloc}/api/v3"
    return f"{parts.scheme}://{host}/actions/runner-registration"


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
