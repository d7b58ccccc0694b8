"""The fallback page: one static file that says where a service is, or since when it is offline. Pure: a template and facts in, bytes out.

It asks for the signed pointer beside it, and in the DNS if it was told how, and for nothing else; it sends nobody anywhere that was not signed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from ..errors import BadInput
from .pointer import Signpost

LIMIT = 14_000
"""Bytes, uncompressed: what fits into the first flight of a connection (ten segments, RFC 6928)."""
HOST = re.compile(r"\.?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
JSON_FILE, FILE = "pointer.json", "index.html"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a page says.

    Args:
        key: the public key that it trusts, base64url.
        text: the last signed pointer, as `pointer.encode` made it; empty when there was never one.
        post: what that says.
        live: whether it was live when the page was made.
        name: of the pointer in the DNS, asked at `doh`, an address that answers `application/dns-json`; both or none.
        hosts: that links may lead to: names, or endings that begin with a dot; none means any that the key signed.
        contact: who to ask: a mail address, an https address, or words.
        low_data: mirrors that a person named, hosts or addresses.
        redirect: whether people are taken to a live, signed address after three seconds.
    """

    service: str
    key: str
    text: str = ""
    post: Signpost | None = None
    live: bool = False
    title: str = ""
    name: str = ""
    doh: str = ""
    hosts: tuple[str, ...] = ()
    contact: str = ""
    low_data: tuple[str, ...] = ()
    redirect: bool = False


def check(facts: Facts) -> None:
    """Raises `BadInput` for a host, mirror or resolver that cannot be meant."""
    for host in facts.hosts:
        if not HOST.fullmatch(host):
            raise BadInput(f'"{host}" is no host that a page can allow', "Give a name, or an ending as .example.org")
    for mirror in facts.low_data:
        if not _mirror(mirror):
            raise BadInput(f'"{mirror}" is no mirror', "Give a host, or an address that begins with https:// or http://")
    if bool(facts.name) != bool(facts.doh):
        raise BadInput("a page asks the DNS only when it has a name and a resolver", "Give both: pointer = NAME and doh = https://HOST/dns-query")
    doh = urlsplit(facts.doh)
    if facts.doh and (re.search(r"[\s;,'\"?#]", facts.doh) or not (doh.scheme == "https" or doh.hostname == "127.0.0.1")):
        raise BadInput(f'"{facts.doh}" is no resolver that a page can ask', "Give its address, as https://HOST/dns-query")


def build(template: str, facts: Facts) -> bytes:
    """The page.

    Raises:
        BadInput: something in it cannot be meant, or it would be larger than 14,000 bytes.
    """
    check(facts)
    for part in ("style", "script"):
        template = template.replace(_inside(template, part), _lean(_inside(template, part)))
    post, title = facts.post, html.escape(facts.title or facts.service)
    alone = "nothing from other hosts"
    if facts.doh:
        alone += f" but its pointer, by way of {html.escape(urlsplit(facts.doh).netloc)}"
    url = html.escape(post.url) if post is not None else ""
    what = {
        "POLICY": _policy(template, facts.doh),
        "TITLE": title,
        "WORD": "Last known state" if post is not None else "Not known",
        "WHAT": _what(facts),
        "URL": url,
        "HIDDEN": "" if post is not None else " hidden",
        "LINK": f"Last known: {html.escape(urlsplit(post.url).netloc)}" if post is not None else "",
        "WHY": "It may have moved since.",
        "MORE": _more(facts),
        "KEY": html.escape(facts.key),
        "ALONE": alone,
        "CONFIG": _config(facts),
    }
    # one pass, so that nothing in a title or an address is taken for a place to fill
    page = re.sub(r"@@([A-Z]+)@@", lambda found: what.get(found[1], found[0]), template)
    rest = len(page.replace("@@SIZE@@", "", 1).encode())
    size = rest + len(str(rest + len(str(rest))))
    if size > LIMIT:
        said = f"the page of {facts.service} would have {size} bytes, more than {LIMIT}"
        raise BadInput(said, "Name fewer mirrors and hosts, or a shorter contact")
    return page.replace("@@SIZE@@", str(size), 1).encode()


def _policy(template: str, doh: str) -> str:
    """Only this script and this style, only the pointer: whatever else gets into the page does nothing."""
    asked = f" {_origin(doh)}" if doh else ""
    script, style = (_hash(_inside(template, part)) for part in ("script", "style"))
    return f"default-src 'none';script-src {script};style-src {style};connect-src 'self'{asked};img-src data:;base-uri 'none';form-action 'none'"


def _what(facts: Facts) -> str:
    if facts.post is None:
        return "It was never seen."
    if facts.live:
        return f"Live since {_moment(facts.post.since)}, as far as was known when this page was made."
    return f"Offline since {_moment(facts.post.until)}."


def _more(facts: Facts) -> str:
    more = ""
    if facts.low_data:
        links = [f'<a href="{html.escape(_mirror(one))}" rel="noreferrer">{html.escape(one)}</a>' for one in facts.low_data]
        mirrors = "".join(f"<li>{link}</li>" for link in links)
        more += f'<h2>Low-data mirrors</h2>\n<p class="soft">Claimed by the person who runs this, not checked.</p>\n<ul>{mirrors}</ul>\n'
    if facts.contact:
        more += f"<h2>Who to ask</h2>\n<p>{_contact(facts.contact)}</p>\n"
    return more


def _contact(text: str) -> str:
    shown = html.escape(text)
    if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        return f'<a href="mailto:{shown}">{shown}</a>'
    return f'<a href="{shown}" rel="noreferrer">{shown}</a>' if re.fullmatch(r"https://\S+", text) else shown


def _config(facts: Facts) -> str:
    said = {"svc": facts.service, "key": facts.key, "json": JSON_FILE, "baked": facts.text, "name": facts.name, "doh": facts.doh}
    said |= {"hosts": facts.hosts, "redirect": facts.redirect}  # type: ignore[dict-item]  # JSON takes both
    return json.dumps(said, separators=(",", ":")).replace("<", "\\u003c").replace("@@", "\\u0040@")


def _mirror(text: str) -> str:
    if HOST.fullmatch(text) and not text.startswith("."):
        return f"https://{text}/"
    return text if re.fullmatch(r"https?://[^\s\"'<>]+", text) and urlsplit(text).hostname else ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _inside(template: str, part: str) -> str:
    return template.partition(f"<{part}>")[2].partition(f"</{part}>")[0]


def _lean(text: str) -> str:
    """Without indentation and empty lines: the page counts its bytes."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _moment(moment: datetime) -> str:
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%d %B %Y, %H:%M} UTC</time>'
