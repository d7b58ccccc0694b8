"""Two DNS services by REST, beside their contract: what they say when they fail, and that a token stays where it belongs."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide import pointer as rules
from qcity_nb.decide.deadman import Change
from qcity_nb.decide.pointer import Signpost
from qcity_nb.errors import BadInput, PlatformError
from qcity_nb.io import secrets
from qcity_nb.kinds.dns.cloudflare import KIND as CLOUDFLARE
from qcity_nb.kinds.dns.duckdns import KIND as DUCKDNS
from qcity_nb.kinds.followers import carry
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Pointer
from qcity_nb.testing import faults
from qcity_nb.testing.dns_services import FakeCloudflare, FakeDuckDns
from qcity_nb.testing.named import NAME

pytest.importorskip("dns", reason="dnspython is in the extra tunnel")

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
POST = Signpost(service="app", url="https://a.example", generation=1, since=NOW, until=NOW + timedelta(minutes=5))
TEXT = rules.encode(POST, lambda _text: "s" * 86)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the waits between attempts of forges.http
    home = Home(tmp_path)
    secrets.keep(home, "cloudflare", "cf-stand-in")
    secrets.keep(home, "duckdns", "duck-stand-in")
    return home


@pytest.fixture
def cloudflare():
    with FakeCloudflare() as service:
        yield service


@pytest.fixture
def duckdns():
    with FakeDuckDns() as service:
        yield service


def at_cloudflare(service, name=NAME, **options):
    return Pointer(kind="cloudflare", name=name, options={"url": service.url, **options})


def at_duckdns(service, name="qcity.duckdns.org", **options):
    return Pointer(kind="duckdns", name=name, options={"url": service.url, "servers": service.server, **options})


def test_a_text_is_quoted_in_strings_of_255(home, cloudflare):
    long = rules.encode(replace(POST, url="https://a/" + "x" * 400), lambda _text: "s" * 86)
    CLOUDFLARE.publish(at_cloudflare(cloudflare), long, expected="", home=home)
    content = next(iter(cloudflare.records.values()))["content"]
    assert content.startswith('"v=qc1 ')
    assert [len(part) for part in content[1:-1].split('" "')] == [255, 255, len(long) - 510]
    assert CLOUDFLARE.read(at_cloudflare(cloudflare), home=home) == long


def test_a_zone_may_be_named_and_has_to_be_the_names(home, cloudflare):
    CLOUDFLARE.publish(at_cloudflare(cloudflare, zone="example.org"), TEXT, expected="", home=home)
    with pytest.raises(PlatformError, match="in no zone that this token can see") as caught:
        CLOUDFLARE.publish(at_cloudflare(cloudflare, zone="example.net"), TEXT, expected=None, home=home)
    assert caught.value.kind == "not_found"


def test_what_cloudflare_says_is_passed_on(home, cloudflare):
    cloudflare.add("CNAME", "app.example.org", "page.example.net")
    with pytest.raises(PlatformError, match="An A, AAAA, or CNAME record with that host already exists"):
        CLOUDFLARE.point(at_cloudflare(cloudflare), Change(name="app.example.org", kind="A", value="192.0.2.1"), home=home)


def test_a_writer_that_came_between_is_seen_afterwards(home, cloudflare, monkeypatch):
    """Its API compares nothing: what is there after the change is looked at, and told."""
    true_put = cloudflare._put

    def late(id_, body):
        reply = true_put(id_, body)
        cloudflare.records[id_]["content"] = f'"{TEXT.replace("gen=1 ", "gen=9 ")}"'
        return reply

    monkeypatch.setattr(cloudflare, "_put", late)
    with pytest.raises(PlatformError, match="gen=9") as caught:
        CLOUDFLARE.publish(at_cloudflare(cloudflare), TEXT, expected="", home=home)
    assert caught.value.kind == "conflict"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(faults.status(503), "server"), (faults.status(429), "limited"), (faults.malformed(), "garbled"), (faults.reset(), "unreachable")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_service_that_fails_may_be_asked_again(home, cloudflare, fault, kind):
    cloudflare.fault(fault, times=None)
    with pytest.raises(PlatformError) as caught:
        CLOUDFLARE.publish(at_cloudflare(cloudflare), TEXT, expected=None, home=home)
    assert caught.value.kind == kind
    assert not caught.value.permanent
    assert "cf-stand-in" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (CLOUDFLARE, NAME, {"ttl": "30"}),
        (CLOUDFLARE, NAME, {"url": "http://cloudflare.example"}),
        (CLOUDFLARE, NAME, {"servers": "a b"}),
        (DUCKDNS, "app.example.org", {}),
        (DUCKDNS, "a.b.duckdns.org", {}),
        (DUCKDNS, "a.duckdns.org", {"url": "http://duckdns.example"}),
    ],
)
def test_what_cannot_be_meant(kind, name, options):
    with pytest.raises(BadInput):
        kind.check(Pointer(kind="x", name=name, options=options))


@pytest.mark.parametrize("fault", [faults.reset(), faults.status(500), faults.status(429), faults.status(302)], ids=lambda fault: fault.name)
def test_an_error_of_duckdns_never_holds_the_token_that_its_address_has(home, duckdns, fault, capfd):
    duckdns.fault(fault, times=None)
    with pytest.raises(PlatformError) as caught:
        DUCKDNS.publish(at_duckdns(duckdns), TEXT, expected=None, home=home)
    shown = repr(caught.value) + str(caught.value) + str(caught.value.__cause__) + "".join(capfd.readouterr())
    assert "duck-stand-in" not in shown
    assert caught.value.__context__ is None or caught.value.__suppress_context__, "a traceback would show the address"


def test_a_name_of_another_account_is_said_without_guessing(home, duckdns):
    with pytest.raises(PlatformError, match="does not know the token, or the name is not this account's"):
        DUCKDNS.publish(at_duckdns(duckdns, "other.duckdns.org"), TEXT, expected=None, home=home)


def test_a_disk_that_is_full_and_a_missing_token_are_told_and_not_raised(tmp_path, cloudflare):
    asked = {"tunnel": "app", "url": "https://a.example", "generation": 1, "last": None, "now": NOW}
    done = carry(at_cloudflare(cloudflare), home=Home(tmp_path / "new"), **asked)
    assert (done.ok, done.text) == (False, "there is no token cloudflare here")
    (tmp_path / "file").write_text("")
    done = carry(at_cloudflare(cloudflare), home=Home(tmp_path / "file" / "x"), **asked)
    assert not done.ok
    assert done.text
