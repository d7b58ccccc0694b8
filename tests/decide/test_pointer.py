"""What a pointer says, byte for byte, and what a reader and a writer make of one that they find."""

import string
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import pointer as rules
from qcity_nb.decide.pointer import Reading, Signpost
from qcity_nb.errors import BadInput
from qcity_nb.model.tunnel import Page, Pointer

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
POST = Signpost(service="app", url="https://a.example:8443/x?y=1", generation=17, since=NOW, until=NOW + timedelta(minutes=5))


def sign(text, who="a"):
    """A stand-in of a signature: 86 letters that depend on the text and on who signs."""
    return f"{sum(map(ord, text)) * 31 + ord(who):086d}"


def verify(text, signature):
    return signature == sign(text)


def test_the_text_is_as_documented():
    text = rules.encode(POST, sign)
    assert text.startswith("v=qc1 svc=app url=https://a.example:8443/x?y=1 gen=17 since=1777636800 exp=1777637100 sig=")
    assert rules.parse(text) == Signpost(**{**vars_of(POST), "signature": text[-86:]})


def vars_of(post):
    return {name: getattr(post, name) for name in ("service", "url", "generation", "since", "until")}


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        (None, Reading.ABSENT),
        (rules.encode(POST, sign), Reading.LIVE),
        (rules.encode(POST, lambda text: sign(text, "b")), Reading.FORGED),
        (rules.encode(POST, sign).replace("a.example", "e.example"), Reading.FORGED),
        (rules.encode(POST, sign).replace("gen=17", "gen=99"), Reading.FORGED),
        (rules.encode(POST, sign) + " ", Reading.MALFORMED),
        (rules.encode(POST, sign).replace("exp=", "exp=0"), Reading.FORGED),
        ("v=spf1 -all", Reading.MALFORMED),
        ("", Reading.MALFORMED),
    ],
)
def test_what_a_reader_makes_of_it(text, reading):
    assert rules.judge(text, verify, now=NOW)[0] is reading


def test_a_lease_that_is_over_and_a_generation_of_the_past():
    text = rules.encode(POST, sign)
    assert rules.judge(text, verify, now=POST.until)[0] is Reading.EXPIRED
    assert rules.judge(text, verify, now=NOW, seen=17)[0] is Reading.LIVE
    assert rules.judge(text, verify, now=NOW, seen=18)[0] is Reading.OLDER
    assert rules.judge(text, verify, now=NOW, service="other")[0] is Reading.FORGED


def test_when_a_runner_may_replace_what_it_finds():
    mine, theirs = rules.encode(POST, sign), rules.encode(POST, lambda text: sign(text, "b"))
    asked = {"verify": verify, "service": "app", "generation": 17}
    assert rules.may_replace(None, now=NOW, **asked) == ""
    assert rules.may_replace(mine, now=NOW, **asked) == ""
    assert "of another key is live there until 12:05:00 UTC" in rules.may_replace(theirs, now=NOW, **asked)
    assert rules.may_replace(theirs, now=POST.until, **asked) == ""
    assert "generation 17 of app is there already" in rules.may_replace(mine, now=NOW, **{**asked, "generation": 16})
    assert rules.may_replace("v=qc1 broken", now=NOW, **asked) == ""


@pytest.mark.parametrize(
    "url", ["", "ftp://a.example", "https://", "https://u:p@a.example", "https://a.example/ x", "https://ä.example", 'https://a/"', "a"]
)
def test_an_address_that_cannot_stand_in_it(url):
    with pytest.raises(BadInput, match="no address"):
        rules.encode(Signpost(**{**vars_of(POST), "url": url}), sign)


def test_a_service_that_cannot_stand_in_it():
    with pytest.raises(BadInput, match="name of a service"):
        rules.encode(Signpost(**{**vars_of(POST), "service": "my app"}), sign)


def test_json_says_the_same():
    text = rules.encode(POST, sign)
    assert rules.from_json(rules.as_json(text)) == text
    for broken in (b"", b"[]", b"{}", b'{"v":"qc1"}'):
        with pytest.raises(BadInput):
            rules.from_json(broken)


@given(st.text(alphabet=string.printable + "äß漢", max_size=900))
def test_strings_of_a_record_come_back_whole(text):
    parts = rules.strings(text)
    assert all(len(part) <= 255 for part in parts)
    assert rules.joined(parts) == text


@given(st.text(max_size=300))
def test_no_text_breaks_a_reader(text):
    assert rules.judge(text, verify, now=NOW)[0] in (Reading.MALFORMED, Reading.FORGED)
    assert rules.ours([text]) in (None, text)


def test_of_several_the_newest_is_ours():
    older, newer = (rules.encode(Signpost(**{**vars_of(POST), "generation": gen}), sign) for gen in (3, 12))
    assert rules.ours(["v=spf1 -all", newer, older, "v=qc1 broken"]) == newer
    assert rules.ours([newer], "other") is None
    assert rules.ours(["v=spf1 -all"]) is None


def test_a_lease_is_renewed_at_a_third():
    pointer = Pointer(kind="rfc2136", name="a.example.org", options={"lease": "90"})
    assert rules.renewal(pointer) == timedelta(seconds=30)
    assert rules.renewal(Pointer(kind="rfc2136", name="a.example.org")) == timedelta(seconds=100)
    assert rules.renewal(Page(kind="folder", target="x")) == timedelta(seconds=100)
    assert rules.renewal(Page(kind="git", target="x")) == timedelta(minutes=20), "a commit each, and ten builds an hour"
    for given_ in ("0", "29", "x", "-5", "9" * 30):
        with pytest.raises(BadInput, match="no lease"):
            rules.lease(Pointer(kind="rfc2136", name="a.example.org", options={"lease": given_}))
