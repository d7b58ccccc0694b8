"""Some 90 DNS services, by the package dns-lexicon. It knows no prerequisites: what is there is read just before and just after a change.

The new value is put beside the old one, then the old one is removed, because not every provider replaces by content; readers take the newer of two.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from typing import Any

from ...decide import pointer as rules
from ...decide.redact import redact
from ...decide.wording import line
from ...errors import BadInput, MissingTool, PlatformError
from ...model.home import Home
from ...model.tunnel import Pointer
from . import check, compare, conflict, credential, ttl
from .servers import servers, spread

OPTIONS = ("provider", "zone", "credentials", "servers", "resolver")
NAME = re.compile(r"[a-z0-9]{2,32}")
INSTALL = 'pip install "qcity-nb[dns]"'


class Lexicon:
    """The kind `lexicon`, as `ports.Publisher`.

    Options: `provider` (lexicon's name of it), `zone`, `credentials` (lexicon's name of each and the home's: `auth_token=NAME,auth_username=NAME`),
    `servers` and `resolver` (where to look whether it came through), `ttl`, `lease`. What else a provider takes is `lexicon.OPTION`.
    """

    def check(self, pointer: Pointer) -> None:
        """See `ports.Publisher`."""
        check(pointer, (*OPTIONS, *(name for name in pointer.options if name.startswith("lexicon."))))
        zone, provider = pointer.options.get("zone", "").rstrip("."), pointer.options.get("provider", "")
        if not zone or not (pointer.name.rstrip(".") == zone or pointer.name.rstrip(".").endswith(f".{zone}")):
            raise BadInput(f"{pointer.name} is not in the zone that was given ({zone or 'none'})", "Give zone = the domain as the service knows it")
        if secret := next((name for name in pointer.options if re.search(r"\.auth|token|secret|password|key", name)), ""):
            raise BadInput(f"the option {secret} would hold a secret", f"Keep it in the home and write credentials = {secret.partition('.')[2]}=NAME")
        _credentials(pointer)
        _provider(provider)
        servers(pointer.options.get("servers", "") + "," + pointer.options.get("resolver", ""))

    def publish(self, pointer: Pointer, value: str, *, expected: str | None, home: Home) -> str:
        """See `ports.Publisher`; other TXT records of the name are left alone."""
        self.check(pointer)
        with _said(pointer):
            service = _open(pointer, home)
            before = _values(service, pointer)
            compare(pointer.name, rules.ours(before), expected)
            if value not in before:
                service.create_record("TXT", _name(pointer), value)
            for old in before:
                if old.startswith(rules.MARK) and old != value:
                    service.delete_record(rtype="TXT", name=_name(pointer), content=old)
            now = rules.ours(_values(service, pointer))
        if now != value:
            raise conflict(pointer.name, now)
        if at := servers(pointer.options.get("servers", "")):
            return spread(pointer.name, "TXT", value, at=at, resolver=pointer.options.get("resolver", ""), ttl=ttl(pointer))
        return f"{pointer.name} has it at {pointer.options['provider']}; resolvers may show the old one for {ttl(pointer)} s"

    def read(self, pointer: Pointer, *, home: Home) -> str | None:
        """See `ports.Publisher`."""
        self.check(pointer)
        with _said(pointer):
            return rules.ours(_values(_open(pointer, home), pointer))


def _open(pointer: Pointer, home: Home) -> Any:
    from lexicon.config import ConfigResolver

    options, provider = pointer.options, pointer.options["provider"]
    own = {name.partition(".")[2]: value for name, value in options.items() if name.startswith("lexicon.")}
    own |= {theirs: credential({"name": ours}, home, "name") for theirs, ours in _credentials(pointer).items()}
    known = {"provider_name": provider, "domain": options["zone"].rstrip("."), "ttl": ttl(pointer), provider: own}
    resolver: Any = ConfigResolver
    service = _provider(provider).Provider(resolver().with_dict(known))
    service.authenticate()
    return service


def _provider(name: str) -> Any:
    """Its module. lexicon's own client is gone around: it fetches the list of public suffixes from two hosts to find a zone that we were told."""
    try:
        importlib.import_module("lexicon.config")
    except ImportError:
        raise MissingTool("the kind lexicon needs the package dns-lexicon", INSTALL) from None
    if not NAME.fullmatch(name):
        raise BadInput(f'"{name}" is no provider of lexicon', "Give provider = one of those that lexicon --help lists")
    try:
        return importlib.import_module(f"lexicon._private.providers.{name}")
    except ModuleNotFoundError as error:
        if error.name and not error.name.startswith("lexicon"):
            raise MissingTool(f"lexicon's provider {name} needs the package {error.name}", f'pip install "dns-lexicon[{name}]"') from None
        raise BadInput(f'lexicon has no provider "{name}"', "lexicon --help lists them") from None


def _credentials(pointer: Pointer) -> dict[str, str]:
    found = dict(part.strip().partition("=")[::2] for part in pointer.options.get("credentials", "").split(",") if part.strip())
    if not all(found.values()):
        raise BadInput("credentials have to say lexicon's name of each and the home's", "Write credentials = auth_token=NAME")
    return found


def _values(service: Any, pointer: Pointer) -> list[str]:
    wanted = pointer.name.rstrip(".").lower()
    return [str(one["content"]).strip('"') for one in service.list_records("TXT", _name(pointer)) if str(one["name"]).rstrip(".").lower() == wanted]


def _name(pointer: Pointer) -> str:
    return pointer.name.rstrip(".")


@contextlib.contextmanager
def _said(pointer: Pointer) -> Any:
    """Whatever a provider raises, as one sentence: each of the 90 has errors of its own."""
    import requests

    provider = pointer.options["provider"]
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        kind = {401: "unauthorized", 403: "forbidden", 404: "not_found", 429: "limited"}.get(status, "server" if status >= 500 else "invalid")
        todo = "Check the zone, and what the credential may do"
        raise PlatformError(f"{provider} answered {status} about {pointer.name}", todo, kind=kind) from None
    except requests.RequestException as error:
        raise PlatformError(f"{provider} cannot be reached ({type(error).__name__})", "It is asked again", kind="unreachable") from None
    except (BadInput, PlatformError):
        raise
    except Exception as error:
        if type(error).__module__.startswith("qcity_nb."):
            raise
        text = line(redact(f"{type(error).__name__}: {error}"), limit=120)
        kind = "unauthorized" if "auth" in text.lower() else "invalid"
        raise PlatformError(f"{provider} failed at {pointer.name} ({text})", "Check the zone and the credential", kind=kind) from None


KIND = Lexicon()
