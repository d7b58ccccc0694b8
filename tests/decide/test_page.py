"""The fallback page's bytes: its size, what it may reach, and that nothing which a person or an attacker writes becomes part of its script."""

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import page
from qcity_nb.decide.page import Facts
from qcity_nb.decide.pointer import Signpost
from qcity_nb.errors import BadInput
from qcity_nb.kinds.pages import template

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
POST = Signpost(service="app", url="https://a.example/x?y=1&z=2", generation=17, since=NOW, until=NOW + timedelta(minutes=5))
FACTS = Facts(service="app", key="k" * 43, text="v=qc1 …", post=POST, live=True)


def built(**more):
    return page.build(template(), replace(FACTS, **more)).decode()


def test_it_counts_its_own_bytes_and_stays_below_the_limit():
    text = built(low_data=("mirror.example",) * 3, contact="ops@example.org", hosts=(".example.org",))
    assert f"This page is {len(text.encode())} bytes" in text
    assert len(text.encode()) < 12_000
    assert "@@" not in text


def test_too_much_to_say_is_refused():
    with pytest.raises(BadInput, match="more than 14000"):
        built(low_data=tuple(f"mirror-{number}.example" for number in range(200)))


def test_it_may_reach_nothing_but_its_pointer():
    policy = re.search(r'Policy" content="([^"]+)"', built())[1]
    assert policy.startswith("default-src 'none';script-src 'sha256-")
    assert "connect-src 'self';" in policy
    assert "unsafe" not in policy
    asked = built(name="_qcity.app.example.org", doh="https://dns.example/dns-query")
    assert "connect-src 'self' https://dns.example;" in asked
    assert "its pointer, by way of dns.example" in asked
    assert not re.search(r"(src|href)=\"(https?:)?//(?!a\.example)", built()), "nothing is loaded from elsewhere"


def test_without_scripts_it_says_the_last_known_address_and_when():
    text = built()
    assert '<a class="go" id="go" href="https://a.example/x?y=1&amp;z=2"' in text
    assert '<time datetime="2026-05-01T12:00:00Z">01 May 2026, 12:00 UTC</time>' in text
    assert "<noscript>" in text
    assert "Offline since" in built(live=False).partition("<script")[0]
    assert "It was never seen" in built(post=None, text="")


def test_mirrors_are_shown_as_claimed_and_nothing_is_said_to_be_free():
    text = built(low_data=("mirror.example", "http://10.0.0.1/lite"))
    assert "Claimed by the person who runs this, not checked." in text
    assert 'href="https://mirror.example/"' in text
    assert "free" not in text.lower()


@given(st.text(max_size=80), st.text(max_size=80))
def test_words_of_a_person_stay_words(title, contact):
    text = built(title=title, contact=contact)
    assert text.count("<script") == 2
    assert len(re.findall(r"</script>", text)) == 2
    assert re.search(r"<p>This page is \d+ bytes", text)


@pytest.mark.parametrize(
    "more",
    [
        {"low_data": ("javascript:alert(1)",)},
        {"low_data": ("a b",)},
        {"hosts": ("https://a.example",)},
        {"hosts": ("*",)},
        {"name": "a.example.org"},
        {"doh": "https://dns.example/q"},
        {"name": "a.example.org", "doh": "http://dns.example/q"},
        {"name": "a.example.org", "doh": "https://dns.example/q; script-src *"},
    ],
)
def test_what_cannot_be_meant(more):
    with pytest.raises(BadInput):
        built(**more)
