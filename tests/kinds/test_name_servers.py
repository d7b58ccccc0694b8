"""rfc2136 beside its contract: a real secondary and a real resolver, keys and names that may not, the dead man's switch, the budget of changes."""

from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide import pointer as rules
from qcity_nb.decide.deadman import Change, Watched
from qcity_nb.decide.pointer import Reading, Signpost
from qcity_nb.errors import BadInput, PlatformError, Refused
from qcity_nb.io import secrets, signing
from qcity_nb.kinds.dns import records
from qcity_nb.kinds.dns import servers as asking
from qcity_nb.kinds.dns.pointing import look, point, watch
from qcity_nb.kinds.dns.rfc2136 import KIND as RFC2136
from qcity_nb.kinds.followers import carry
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Pointer
from qcity_nb.testing.named import ZONE, Named

pytestmark = pytest.mark.real
pytest.importorskip("dns", reason="dnspython is in the extra tunnel")
pytest.importorskip("cryptography", reason="it signs the pointers")

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
WATCHED = Watched(name=f"app.{ZONE}", kind="A", fallback="192.0.2.9")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def named(home):
    with Named(secondary=True, resolver=True) as servers:
        secrets.keep(home, "tsig", servers.key)
        yield servers


def text(home, generation=1, *, now=NOW):
    post = Signpost(service="app", url="https://a.example", generation=generation, since=now, until=now + rules.LEASE)
    return rules.encode(post, lambda said: signing.sign(home, said))


def test_what_is_published_is_waited_for_at_all_servers_of_the_zone(named, home):
    """They are found by the zone's NS records; a resolver that has the old answer is said, with how long it will."""
    first, second = text(home), text(home, 2)
    said = RFC2136.publish(named.pointer(resolver=named.resolver), first, expected="", home=home)
    assert "has it at 2 servers of 2" in said
    assert "shows it, others may show the old one for 5 s" in said
    assert asking.ask(asking.servers(named.secondary)[0], named.pointer().name, "TXT").values == (first,)
    said = RFC2136.publish(named.pointer(resolver=named.resolver), second, expected=first, home=home)
    assert "has it at 2 servers of 2" in said
    assert "shows the old one for" in said


def test_a_secondary_that_is_away_is_named(named, home, monkeypatch):
    monkeypatch.setattr(asking, "PROBE", 0.2)
    monkeypatch.setattr(asking.spread, "__kwdefaults__", {**asking.spread.__kwdefaults__, "wait": 0.3})
    named.kill("secondary")
    said = RFC2136.publish(named.pointer(), text(home), expected="", home=home)
    assert "has it at 1 server of 2" in said
    assert f"not yet at {named.secondary}" in said


@pytest.mark.parametrize(
    ("name", "key", "kind", "says"),
    [
        (f"_qcity.app.{ZONE}", "stranger", "unauthorized", "does not accept the key"),
        (f"_qcity.app.{ZONE}", "other", "forbidden", "does not let this key change"),
        (f"_qcity.app.{ZONE}", "", "forbidden", "does not let anybody without a key change"),
        (f"elsewhere.{ZONE}", "key", "forbidden", "does not let this key change"),
        ("app.example.net", "key", "not_found", "is not responsible for app.example.net"),
    ],
)
def test_what_the_zone_refuses_is_one_sentence(named, home, name, key, kind, says):
    pointer = named.pointer(name)
    if key:
        secrets.keep(home, "tsig", getattr(named, key))
    else:
        pointer = Pointer(kind="rfc2136", name=name, options={"server": named.primary})
    with pytest.raises(PlatformError, match=says) as caught:
        RFC2136.publish(pointer, text(home), expected=None, home=home)
    assert caught.value.kind == kind
    assert caught.value.todo
    assert not any(secret.rpartition(":")[2] in str(caught.value) for secret in (named.key, named.stranger, named.other))


def test_a_zone_that_was_given_wrong_is_said(named, home):
    with pytest.raises(PlatformError, match="is in no zone that"):
        RFC2136.publish(named.pointer(zone="example.net"), text(home), expected=None, home=home)


def test_a_change_in_the_very_same_moment_is_a_conflict(named, home, monkeypatch):
    """Between our look and our update somebody else writes: the server's own prerequisite says so."""
    from qcity_nb.kinds.dns import rfc2136

    theirs, true_send = text(home, 5), rfc2136._send

    def late(*args, **kwargs):
        monkeypatch.setattr(rfc2136, "_send", true_send)
        RFC2136.publish(named.pointer(), theirs, expected="", home=home)
        true_send(*args, **kwargs)

    monkeypatch.setattr(rfc2136, "_send", late)
    with pytest.raises(PlatformError, match="at the same moment") as caught:
        RFC2136.publish(named.pointer(), text(home), expected="", home=home)
    assert caught.value.kind == "conflict"
    assert RFC2136.read(named.pointer(), home=home) == theirs


def test_other_texts_of_the_name_stay(named, home):
    import dns.query
    import dns.update

    update = dns.update.UpdateMessage(ZONE, **_signed(named))
    update.add("_qcity.app", 5, "TXT", '"v=spf1 -all"')
    dns.query.tcp(update, "127.0.0.1", port=named.port)
    first = text(home)
    RFC2136.publish(named.pointer(), first, expected="", home=home)
    RFC2136.publish(named.pointer(), text(home, 2), expected=first, home=home)
    values = asking.ask(asking.servers(named.primary)[0], named.pointer().name, "TXT").values
    assert set(values) == {"v=spf1 -all", text(home, 2)}


def _signed(named):
    import dns.tsigkeyring

    _, name, secret = named.key.split(":")
    return {"keyring": dns.tsigkeyring.from_text({f"{name}.": ("hmac-sha256", secret)})}


@pytest.mark.parametrize("held", ["nonsense", "hmac-sha256:runner:no-base64!", "runner:", "md5:a:b:c"])
def test_a_credential_that_is_no_key_is_said(named, home, held):
    secrets.keep(home, "tsig", held)
    with pytest.raises(BadInput, match="is no TSIG key") as caught:
        RFC2136.publish(named.pointer(), text(home), expected=None, home=home)
    assert held not in str(caught.value)


class TestDeadMan:
    """A watcher elsewhere, with a home and a key of its own."""

    @pytest.fixture
    def watcher(self, named, tmp_path):
        elsewhere = Home(tmp_path / "elsewhere")
        secrets.keep(elsewhere, "tsig", named.key)
        return elsewhere

    def test_a_lease_that_lapsed_points_the_name_to_the_fallback_once(self, named, home, watcher):
        pointer, key = named.pointer(), signing.public_key(home)
        carry(pointer, tunnel="app", url="https://a.example", generation=1, home=home, last=None, now=NOW)
        asked = {"key": key, "service": "app", "home": watcher}
        early = watch(pointer, WATCHED, **asked, now=NOW + timedelta(seconds=299))
        assert (early.changed, "the pointer is live" in early.text) == (0, True)
        late = NOW + timedelta(seconds=331)
        assert watch(pointer, WATCHED, **asked, now=late).changed == 1
        assert records("rfc2136").record(pointer, WATCHED.name, "A", home=watcher) == "192.0.2.9"
        assert watch(pointer, WATCHED, **asked, now=late).changed == 0

    def test_a_runner_that_comes_back_takes_the_name_back(self, named, home, watcher):
        pointer, late = named.pointer(), NOW + timedelta(seconds=331)
        first = carry(pointer, tunnel="app", url="https://a.example", generation=1, home=home, last=None, now=NOW)
        watch(pointer, WATCHED, key=signing.public_key(home), service="app", home=watcher, now=late)
        assert carry(pointer, tunnel="app", url="https://b.example", generation=2, home=home, last=first, now=late).ok
        point(pointer, Change(name=WATCHED.name, kind="A", value="192.0.2.1", expected="192.0.2.9"), home=home, now=late)
        done = watch(pointer, WATCHED, key=signing.public_key(home), service="app", home=watcher, now=late)
        assert done.changed == 0
        assert "leads to 192.0.2.1" in done.text

    def test_a_pointer_of_another_key_changes_nothing(self, named, home, watcher):
        pointer = named.pointer()
        carry(pointer, tunnel="app", url="https://a.example", generation=1, home=home, last=None, now=NOW)
        done = watch(pointer, WATCHED, key=signing.public_key(watcher), service="app", home=watcher, now=NOW + timedelta(hours=1))
        assert "the pointer is forged" in done.text
        assert done.changed == 0
        reading, post, _ = look(pointer, key=signing.public_key(home), service="app", home=watcher, now=NOW)
        assert (reading, post.url) == (Reading.LIVE, "https://a.example")

    def test_the_seventh_change_within_an_hour_is_refused(self, named, home):
        pointer = named.pointer()
        for number in range(6):
            change = Change(name=WATCHED.name, kind="A", value=f"192.0.2.{10 + number}")
            point(pointer, change, home=home, now=NOW + timedelta(minutes=number))
        with pytest.raises(Refused, match="6 times within an hour") as caught:
            point(pointer, Change(name=WATCHED.name, kind="A", value="192.0.2.1"), home=home, now=NOW + timedelta(minutes=10))
        assert "50 min" in caught.value.todo
        point(pointer, Change(name=WATCHED.name, kind="A", value="192.0.2.1"), home=home, now=NOW + timedelta(minutes=61))
