"""What the options of tunnel providers may be, and how their programs are shown: what cannot be meant is a sentence. Pure; nothing is looked up."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ..errors import BadInput

HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE)
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{2,61}[a-z0-9])")
DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


def known_options(provider: str, options: Mapping[str, str], known: Collection[str]) -> None:
    """Raises `BadInput` for the first option that the provider does not know, or that holds a line break or nothing."""
    for name, value in options.items():
        if name not in known:
            raise BadInput(f'the tunnel provider {provider} has no option "{name}"', f"it has: {', '.join(sorted(known))}")
        if not value.strip() or not value.isprintable():
            raise BadInput(f"the option {name} of the tunnel provider {provider} is empty or no plain text", "Leave it out, or give it a value")


def matching(provider: str, options: Mapping[str, str], name: str, pattern: re.Pattern[str], like: str) -> None:
    """Raises `BadInput` when the option is there and does not match; `like` says what it should look like."""
    value = options.get(name)
    if value is not None and not pattern.fullmatch(value):
        raise BadInput(f'"{value}" cannot be the {name} of the tunnel provider {provider}', f"Write it like {like}")


def choice(provider: str, options: Mapping[str, str], name: str, values: Collection[str]) -> None:
    """Raises `BadInput` when the option is there and is none of these."""
    value = options.get(name)
    if value is not None and value not in values:
        raise BadInput(f'the option {name} of the tunnel provider {provider} cannot be "{value}"', f"it is one of: {', '.join(values)}")


def is_loopback(host: str) -> bool:
    """Whether a host name, with or without its port, is of this very machine."""
    name = host.rsplit(":", 1)[0] if host.count(":") == 1 else host.strip("[]")
    return name in ("localhost", "::1") or name.endswith(".localhost") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", name))


def shown(path: str, version: str, sha256: str, said: str = "") -> str:
    """Which program it is, for people."""
    return f"{path}, version {version or 'unknown'}" + (f", SHA-256 {sha256}" if sha256 else "") + (f" ({said})" if said else "")
