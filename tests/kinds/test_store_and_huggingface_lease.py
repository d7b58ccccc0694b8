"""Leases in a database and in a dataset: what is refused, what is said, and that a token stays where it belongs. tests/contracts has the contract."""

import pytest

from qcity_nb.errors import BadInput, LeaseError, NotFound
from qcity_nb.io import secrets
from qcity_nb.kinds.leases import open_lease
from qcity_nb.kinds.leases.huggingface import KIND as HUGGINGFACE
from qcity_nb.kinds.leases.store import KIND as STORE
from qcity_nb.model.home import Home
from qcity_nb.testing import faults
from qcity_nb.testing.hub import FakeHub
from qcity_nb.testing.lease_contract import FIRST


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def hub(home):
    secrets.keep(home, "huggingface", "hf_stand_in")
    with FakeHub() as hub:
        hub.dataset("ann/leases")
        yield hub


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "no other place can reach"),
        ("sqlite:////srv/leases.db", "cannot be kept in a SQLite file"),
        ("postgresql://ann:secret@db.example/x", "holds a password"),
        (":::", "is no database"),
        ("postgresql+nosuchdriver://db.example/x", "nobody knows"),
    ],
)
def test_a_database_that_cannot_be_used_is_said(home, monkeypatch, address, says):
    monkeypatch.delenv("QCITY_STORE", raising=False)
    with pytest.raises(BadInput, match=says) as caught:
        STORE.open(address, "web", home=home, timeout=1.0)
    assert "secret" not in str(caught.value)


def test_the_shared_store_is_taken_when_no_address_is_given(home, monkeypatch):
    monkeypatch.setenv("QCITY_STORE", "postgresql+psycopg://qcity@127.0.0.1:1/none")
    store = open_lease("store", "web", home=home, timeout=1.0)
    with pytest.raises(LeaseError, match="cannot be reached") as caught:
        store.read()
    assert not caught.value.permanent


@pytest.mark.parametrize(
    ("address", "says"),
    [("leases", "need a dataset"), ("http://hub.example/datasets/ann/leases", "no https"), ("https://a:b@hub.example/ann/leases", "need a dataset")],
)
def test_a_dataset_that_cannot_be_used_is_said(home, address, says):
    with pytest.raises(BadInput, match=says):
        HUGGINGFACE.open(address, "web", home=home, timeout=1.0)


def test_without_a_token_nothing_is_asked(home):
    with pytest.raises(NotFound, match="no token huggingface"):
        HUGGINGFACE.open("ann/leases", "web", home=home, timeout=1.0)


def test_a_dataset_that_is_not_there_and_a_token_that_is_not_known_are_said(home, hub):
    with pytest.raises(LeaseError, match="404 about the dataset ann/none"):
        open_lease(f"huggingface:{hub.url}/datasets/ann/none", "web", home=home, timeout=5.0).read()
    hub.tokens.clear()
    with pytest.raises(LeaseError, match="does not know the token") as caught:
        open_lease(f"huggingface:{hub.url}/datasets/ann/leases", "web", home=home, timeout=5.0).read()
    assert "hf_stand_in" not in str(caught.value)


@pytest.mark.parametrize("fault", [faults.status(503), faults.reset(), faults.malformed(), faults.truncated()], ids=lambda fault: fault.name)
def test_a_hub_that_fails_is_no_verdict(home, hub, fault):
    store = open_lease(f"huggingface:{hub.url}/datasets/ann/leases", "web", home=home, timeout=5.0)
    version = store.swap(None, FIRST)
    hub.fault(fault, path="*/commit/*")
    with pytest.raises(LeaseError) as caught:
        store.swap(version, FIRST)
    assert not caught.value.permanent


def test_two_claims_of_one_dataset_do_not_meet(home, hub):
    one, two = (open_lease(f"huggingface:{hub.url}/datasets/ann/leases", claim, home=home, timeout=5.0) for claim in ("web", "api"))
    version = one.swap(None, FIRST)
    assert two.read() is None
    assert two.swap(None, FIRST)
    assert one.read().version == version
