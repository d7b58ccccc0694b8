"""`city.places` and `qcity place`: noting, looking, what is kept, what is refused."""

from __future__ import annotations

import os
import stat
from datetime import datetime, timezone

import pytest

from qcity_nb import cli
from qcity_nb.errors import BadInput, HomeError, NotFound, PlaceError, Refused
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Running
from qcity_nb.store import commands, lease
from qcity_nb.testing.huggingface import FakeHuggingFace

OTHER = PlaceConfig(name="workstation", kind="shared")


def test_a_place_is_noted_listed_and_forgotten(city):
    city.places.add(OTHER)
    city.places.add(PlaceConfig(name="box", kind="ssh", options={"host": "h"}))
    assert [noted.config.name for noted in city.places] == ["workstation", "box"]
    assert "box: ssh, nothing was asked yet" in repr(city.places)
    assert "<table" in city.places._repr_html_()
    city.places.remove("box")
    assert len(city.places) == 1
    with pytest.raises(NotFound, match="no place"):
        city.places.remove("box")
    assert stat.S_IMODE((city.home / "places.json").stat().st_mode) == 0o600


def test_an_unknown_place_is_answered_with_the_nearest_one(city):
    city.places.add(OTHER)
    with pytest.raises(NotFound) as caught:
        city.places.check("workstatoin")
    assert "workstation" in caught.value.todo


@pytest.mark.parametrize("options", [{"key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, {"password": "hush-hush"}, {"flavor": "hf_" + "a" * 24}])
def test_a_secret_among_the_options_is_refused_and_not_stored(city, options):
    with pytest.raises(BadInput, match="holds a secret"):
        city.places.add(PlaceConfig(name="box", kind="ssh", options=options))
    assert not (city.home / "places.json").exists()


def test_what_a_shared_store_says_of_another_place_is_its_state(city, sqlite):
    city.places.add(OTHER)
    assert city.places.status("workstation").running is Running.ABSENT
    with sqlite.write() as connection:
        lease.take(connection, "another-home", holder="workstation:77", host="process", now=datetime.now(timezone.utc))
    state = city.places.status("workstation")
    assert state.running is Running.UP
    assert city.places["workstation"].state == state
    assert city.places.check("workstation").ready
    with pytest.raises(Refused, match="cannot be stopped from here"):
        city.places.stop("workstation")


def test_places_are_candidates_after_a_look_at_each(city):
    city.places.add(OTHER)
    city.places.add(PlaceConfig(name="me", kind="here"))
    city.places.add(PlaceConfig(name="free", kind="colab", options={"tier": "free"}))
    found = city.places.candidates()
    assert [one.place for one in found] == ["me", "workstation"]
    assert "knows no engine" in found[1].why


def test_options_that_cannot_work_are_said_at_the_look(city):
    city.places.add(PlaceConfig(name="box", kind="ssh", options={"hots": "h"}))
    with pytest.raises(BadInput, match='no option "hots"') as caught:
        city.places.check("box")
    assert '"host"' in caught.value.todo


def test_a_token_is_taken_over_from_the_environment_and_shown_by_fingerprint(city, said, monkeypatch):
    with FakeHuggingFace() as hub:
        monkeypatch.setenv("HF_TOKEN", hub.token)
        city.places.add(PlaceConfig(name="job", kind="huggingface", options={"url": hub.root}))
        assert city.places.check("job").ready
        assert city.places.start("job").running is Running.STARTING
        hub.token = "hf_other"
        with pytest.raises(PlaceError, match="does not accept the token"):
            city.places.stop("job")
    with city.link.read() as connection:
        audit = [(row.verb, row.subject, row.status) for row in commands.latest(connection, city.link.place)]
    assert audit == [("place.start", "job", "done"), ("place.stop", "job", "refused")]
    assert any("fingerprint" in text for text in said)
    assert "job: looking" in said[-1]
    kept = b"".join(path.read_bytes() for path in city.home.rglob("*") if path.is_file() and path.parent.name != "secrets")
    assert os.environ["HF_TOKEN"].encode() not in kept


def test_a_file_of_places_that_is_damaged_is_a_sentence(city):
    (city.home / "places.json").write_text("{")
    with pytest.raises(HomeError, match=r"places\.json cannot be read"):
        list(city.places)


def test_the_command_notes_looks_and_forgets(city, sqlite, capsys):
    def qcity(*argv):
        code = cli.main(["--home", str(sqlite.home.root), "place", *argv])
        return code, "".join(capsys.readouterr())

    assert qcity("list") == (0, "No place but this one is known: qcity place add NAME KIND notes one.\n")
    assert qcity("add", "box", "ssh", "host=127.0.0.1", "port=1", "known_hosts=/nowhere") == (0, "box is noted. qcity place check box looks at it.\n")
    code, text = qcity("check", "box")
    assert code == 1
    assert "cannot be reached by SSH" in text
    code, text = qcity("start", "box")
    assert code == 1
    assert "qcity: 127.0.0.1 port 1 cannot be reached" in text
    assert qcity("add", "box", "ssh", "host")[0] == 2
    assert qcity("add", "box", "shh")[0] == 2
    assert "box" in qcity("list")[1]
    assert qcity("remove", "box")[0] == 0
    assert qcity("status", "box")[0] == 1
