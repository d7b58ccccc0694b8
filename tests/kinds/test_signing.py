"""The key of a home: made once, kept to its owner, never overwritten."""

import threading

import pytest

from qcity_nb.errors import HomeError
from qcity_nb.io import signing
from qcity_nb.model.home import Home

pytest.importorskip("cryptography")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_what_is_signed_is_verified_by_the_public_key_and_by_no_other(home, tmp_path):
    signature, public = signing.sign(home, "a text"), signing.public_key(home)
    assert (len(signature), len(public)) == (86, 43)
    assert signing.verify(public, "a text", signature)
    assert not signing.verify(public, "a text.", signature)
    assert not signing.verify(signing.public_key(Home(tmp_path / "other")), "a text", signature)
    for broken in ("", "x", "ä", signature[:-2], public):
        assert not signing.verify(public, "a text", broken)
    assert not signing.verify("", "a text", signature)


def test_only_its_owner_can_read_it_and_it_stays_the_same(home):
    public = signing.public_key(home)
    assert home.pointer_key.stat().st_mode & 0o777 == 0o600
    assert home.pointer_key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert signing.public_key(home) == public
    assert [path.name for path in home.root.iterdir()] == ["pointer.key"]


def test_many_that_make_it_at_the_same_time_have_the_same_one(home):
    found, start = [], threading.Barrier(8)

    def make():
        start.wait()
        found.append(signing.public_key(home))

    crowd = [threading.Thread(target=make) for _ in range(8)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_said_and_left_there(home, content):
    home.root.mkdir()
    home.pointer_key.write_bytes(content)
    with pytest.raises(HomeError, match="no Ed25519 key"):
        signing.sign(home, "x")
    assert home.pointer_key.read_bytes() == content
