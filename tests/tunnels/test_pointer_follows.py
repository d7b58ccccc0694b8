"""A pointer in a real BIND follows a tunnel over a real sshd: through a failover, and to its end."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from qcity_nb.client import dns
from qcity_nb.decide import pointer as rules
from qcity_nb.decide.pointer import Reading
from qcity_nb.io import secrets, signing
from qcity_nb.kinds.dns.pointing import look
from qcity_nb.model.dns import DnsAnswer
from qcity_nb.testing.named import Named

pytestmark = pytest.mark.real
pytest.importorskip("dns", reason="dnspython is in the extra tunnel")
pytest.importorskip("cryptography", reason="it signs the pointers")


def test_the_dns_says_where_it_is_and_that_it_was_closed(over, sshd, city, until, tmp_path, monkeypatch):
    with Named(secondary=True) as named:
        home = city.link.store.home
        secrets.keep(home, "tsig", named.key)
        tunnel, pointer = over(sshd), named.pointer()

        def seen():
            key, now = signing.public_key(home), datetime.now(timezone.utc)
            reading, post, _ = look(pointer, key=key, service="app", home=home, now=now)
            return reading, post.url if post else "", post.generation if post else 0

        def checked():
            (found,) = [one for one in city.links.pre_deploy(str(tmp_path)).checks if one.kind == "dns"]
            return found.verdict.value, found.text

        tunnel.pointer("rfc2136", pointer.name, **pointer.options)
        until(lambda: seen() == (Reading.LIVE, tunnel.url, 1))
        last = until(lambda: tunnel.followers()[0].last)
        assert last.ok, last
        assert "has it at 2 servers of 2" in last.text
        assert rules.parse(last.address).url == tunnel.url
        sshd.cut()
        tunnel.wait(after=1)
        until(lambda: seen() == (Reading.LIVE, tunnel.url, 2))
        url = tunnel.url
        assert checked() == ("ok", f"its servers say {url}, generation 2")
        named.kill()
        assert checked()[0] == "unknown", "a server that does not answer is no verdict"
        named.start("primary")
        monkeypatch.setattr(dns, "show", lambda *_, **__: DnsAnswer(reading="live", url="https://elsewhere.example"))  # patched: others changed it
        assert checked() == ("broken", f"its servers say https://elsewhere.example, which is live, and app is at {url}")
        tunnel.close()
        until(lambda: seen()[:2] == (Reading.EXPIRED, url))
