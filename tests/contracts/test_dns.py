"""Every publisher keeps the same contract: a real BIND for rfc2136, stand-ins for Cloudflare, DuckDNS and a provider of lexicon; Freenom ended."""

import pytest

from qcity_nb.errors import Refused
from qcity_nb.io import secrets
from qcity_nb.kinds.dns import records
from qcity_nb.kinds.dns.freenom import KIND as FREENOM
from qcity_nb.kinds.dns.lexicon import KIND as LEXICON
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Pointer
from qcity_nb.testing.dns_contract import DnsContract, RecordsContract
from qcity_nb.testing.dns_services import FakeCloudflare, FakeDuckDns, FakePowerDns
from qcity_nb.testing.named import NAME, Named

pytest.importorskip("dns", reason="dnspython is in the extra tunnel")
pytest.importorskip("cryptography", reason="it signs the pointers")


@pytest.mark.real
class TestRfc2136(RecordsContract):
    @pytest.fixture(autouse=True)
    def _server(self, tmp_path):
        self._home = Home(tmp_path)
        with Named() as self.named:
            secrets.keep(self._home, "tsig", self.named.key)
            yield

    def home(self):
        return self._home

    def pointer(self):
        return self.named.pointer()

    def strange(self):
        return self.named.pointer("_qcity.app.example.net")

    def spoil(self, *, forget):
        secrets.forget(self._home, "tsig") if forget else secrets.keep(self._home, "tsig", self.named.stranger)

    def away(self):
        self.named.kill()


class Stood:
    """What the stand-ins share."""

    token = "token"

    def home(self):
        return self._home

    def spoil(self, *, forget):
        secrets.forget(self._home, self.token) if forget else secrets.keep(self._home, self.token, "spoiled")

    def away(self):
        self.service.down()


class TestCloudflare(Stood, RecordsContract):
    @pytest.fixture(autouse=True)
    def _service(self, tmp_path, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the waits between attempts of forges.http
        self._home = Home(tmp_path)
        secrets.keep(self._home, "token", "cf-stand-in")
        with FakeCloudflare() as self.service:
            self.service.add("A", "app.example.org", "192.0.2.1")
            self.service.add("TXT", NAME, '"v=spf1 -all"')
            yield
        assert any(one["content"] == '"v=spf1 -all"' for one in self.service.records.values()), "a record that is not ours"

    def pointer(self, name=NAME):
        return Pointer(kind="cloudflare", name=name, options={"token": "token", "url": self.service.url})

    def strange(self):
        return self.pointer("_qcity.app.example.net")


class TestDuckDns(Stood, DnsContract):
    longest = 255

    @pytest.fixture(autouse=True)
    def _service(self, tmp_path):
        self._home = Home(tmp_path)
        secrets.keep(self._home, "token", "duck-stand-in")
        with FakeDuckDns() as self.service:
            yield

    def pointer(self, name="qcity.duckdns.org"):
        return Pointer(kind="duckdns", name=name, options={"token": "token", "url": self.service.url, "servers": self.service.server})

    def strange(self):
        return self.pointer("nobody.duckdns.org")


class TestLexicon(Stood, DnsContract):
    @pytest.fixture(autouse=True)
    def _service(self, tmp_path):
        pytest.importorskip("lexicon", reason="dns-lexicon is in the extra dns")
        self._home = Home(tmp_path)
        secrets.keep(self._home, "token", "pdns-stand-in")
        with FakePowerDns() as self.service:
            yield

    def pointer(self, name=NAME):
        options = {"provider": "powerdns", "zone": "example.org", "credentials": "auth_token=token", "lexicon.pdns_server": self.service.url}
        return Pointer(kind="lexicon", name=name, options=options)

    def strange(self):
        return self.pointer("_qcity.app.example.net")

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"provider": "freenom"}, "no provider"),
            ({"provider": "../x"}, "no provider"),
            ({"credentials": "auth_token"}, "have to say"),
            ({"lexicon.auth_token": "abc"}, "would hold a secret"),
            ({"zone": "example.net"}, "not in the zone"),
        ],
    )
    def test_options_that_cannot_be_meant(self, options, says):
        good = self.pointer()
        with pytest.raises(Exception, match=says) as caught:
            LEXICON.check(Pointer(kind="lexicon", name=good.name, options={**good.options, **options}))
        assert "abc" not in str(caught.value)


def test_freenom_says_that_it_ended_and_what_to_use():
    pointer = Pointer(kind="freenom", name="app.example.tk")
    for call in (
        lambda: FREENOM.check(pointer),
        lambda: FREENOM.read(pointer, home=None),
        lambda: FREENOM.publish(pointer, "x", expected=None, home=None),
    ):
        with pytest.raises(Refused, match="Freenom ended") as caught:
            call()
        assert "duckdns" in caught.value.todo


def test_a_kind_that_only_publishes_points_no_names():
    with pytest.raises(Refused, match="points no names"):
        records("duckdns")
