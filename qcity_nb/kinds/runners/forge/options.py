"""What can be told to a runner of a forge, checked once, and handed to its own process through the environment. No secret is among it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from ....decide import places
from ....decide.wording import did_you_mean
from ....errors import BadInput, Refused
from ....io.machine import telling
from ....model.agent import FORGES, TOKENS, Wanted, credential
from ....model.service import ServiceSpec

VARIABLE = "QCITY_AGENT"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, kw_only=True)
class Options:
    """A runner's options as they are stored. `token` is the name of a credential."""

    forge: str
    scope: str
    url: str = ""
    ephemeral: bool = True
    group: str = ""
    version: str = ""
    token: str = ""
    allow_root: bool = False
    hooks: bool = True
    canary: float = 3600.0  # seconds between two canaries; 0 means none
    downloads: str = ""  # gitlab: where gitlab-runner comes from
    kind_of_scope: str = ""  # gitlab: "group" when the scope is one
    labels: tuple[str, ...] = field(default=())

    def dump(self) -> str:
        """As one line for the environment."""
        return msgspec.json.encode(self).decode()

    def wanted(self, name: str, labels: tuple[str, ...]) -> Wanted:
        """What its forge is asked for."""
        more = {"downloads": self.downloads, "scope": self.kind_of_scope}
        return Wanted(
            forge=self.forge,
            url=self.url,
            scope=self.scope,
            name=name,
            labels=labels,
            ephemeral=self.ephemeral,
            group=self.group,
            version=self.version,
            token=self.token,
            options=tuple((key, value) for key, value in more.items() if value),
        )


def permitted(options: Options) -> None:
    """See to it that the terms of this machine allow a runner that takes its work from a forge; one on this machine itself concerns nobody.

    Raises:
        Refused: they do not; the sentence names the clause and what works instead.
    """
    if urlsplit(options.url).hostname in ("127.0.0.1", "localhost", "::1"):
        return
    ruling = places.policy(places.detect(os.environ, paths=telling()), places.tier_of({"tier": os.environ.get("QCITY_TIER") or "unknown"}))
    if not ruling.allowed:
        raise Refused(ruling.why, ruling.todo)


def parse(forge: str, spec: ServiceSpec) -> Options:
    """The checked options of a specification.

    Raises:
        BadInput: one of them cannot be used.
    """
    given = dict(spec.options)
    scope = _scope(forge, given, spec.name)
    known = set(Options.__dataclass_fields__)
    for key in given:
        if key not in known:
            raise BadInput(f'the kind {forge} has no option "{key}"', did_you_mean(key, sorted(known | {"repo", "org"}), what="option"))
    given |= {"forge": forge, "scope": scope, "url": _url(forge, str(given.get("url") or "")), "labels": spec.labels or default_labels(forge)}
    given["token"] = given.get("token") or credential(forge, str(given["url"]))
    try:
        options = msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"an option of {spec.name} cannot be used ({error})", "qcity runner start --help says what is expected") from error
    if options.canary < 0:
        raise BadInput(f"canary is {options.canary} seconds", "Give the seconds between two of them, or 0 for none")
    for label in options.labels:
        if not label or len(label) > 256 or "," in label or not label.isprintable():
            raise BadInput(f'"{label}" is not a label', "Use letters, digits, dashes and dots")
    if os.geteuid() == 0 and not options.allow_root:
        todo = "Run as another user, or say --allow-root (allow_root=True) if that is what you want: on Colab there is no other way"
        raise BadInput("this is root, so every job of this runner would be root too", todo)
    return options


def load(environ: Mapping[str, str]) -> Options:
    """The options that `launch` put into the environment."""
    return msgspec.json.decode(environ[VARIABLE], type=Options)


def default_labels(forge: str) -> tuple[str, ...]:
    """What a runner's jobs may ask for when nobody said more: GitHub's own labels for this machine; GitLab's runners need none."""
    if forge == "gitlab":
        return ()
    system = {"Darwin": "macOS"}.get(platform.system(), platform.system())
    processor = {"x86_64": "X64", "AMD64": "X64", "aarch64": "ARM64", "arm64": "ARM64"}.get(platform.machine(), platform.machine())
    return ("self-hosted", system, processor)


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without tokens and without what is ours: what an agent, and so a job, may see."""
    hidden = {name for names in TOKENS.values() for name in names} | {VARIABLE, "QCITY_STORE"}
    return {key: value for key, value in environ.items() if key not in hidden and not key.startswith(("GITHUB_", "ACTIONS_", "CI_"))}


def _scope(forge: str, given: dict[str, object], name: str) -> str:
    asked = [str(given.pop(key)) for key in ("repo", "org", "project", "group_path") if given.get(key)] or [str(given.get("scope") or "")]
    scope = asked[0].strip().strip("/")
    scope = urlsplit(scope).path.strip("/").removesuffix(".git") if "://" in scope else scope
    parts = scope.split("/")
    right = 1 <= len(parts) <= (2 if forge == "github" else 20) and all(_NAME.fullmatch(part) for part in parts)
    if not scope or not right:
        example = "owner/name, or an organisation" if forge == "github" else "group/project"
        what = f'"{scope}" is not where a {forge} runner can work' if scope else f"{name} needs to know where to work"
        raise BadInput(what, f"Give it as {example}")
    return scope


def _url(forge: str, url: str) -> str:
    url = (url or FORGES[forge]).rstrip("/")
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise BadInput(f"the address {url} is not an https address", "A token is never sent over a plain connection")
    if parts.username or parts.password or not parts.hostname:
        raise BadInput("the address holds a name or a password, or no host", "Give it plain, as https://git.example.org")
    return url

