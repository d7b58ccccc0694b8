"""A question to a family of kinds and its answer: both ends, and a real process between them."""

from __future__ import annotations

import msgspec
import pytest

from qcity_nb.client import questions
from qcity_nb.errors import BadInput, HomeError, PlaceError, PlatformError, Refused
from qcity_nb.kinds import answers
from qcity_nb.kinds.vaults.acts import Superseded
from qcity_nb.model.vault import VaultAnswer, VaultAsk, VaultConfig


def put(family="vaults", ask=None, *, seconds=60.0):
    late = PlaceError("nobody has answered", "Try again")
    return questions.put(family, ask, VaultAnswer, seconds=seconds, late=late, failed=lambda said: PlaceError(f"failed ({said})"), other=HomeError)


def ask(kind, folder):
    config = VaultConfig(name="drive", kind=kind, target=str(folder))
    return VaultAsk(verb="copies", config=config, home=str(folder.with_name("home")), generation=0, schema="")


def test_an_answer_and_an_error_come_as_what_they_are(tmp_path):
    assert put(ask=ask("folder", tmp_path)).copies == ()
    with pytest.raises(BadInput, match='no kind "floder" of vaults'):
        put(ask=ask("floder", tmp_path))


def test_who_says_nothing_or_too_late_is_said(tmp_path):
    with pytest.raises(PlaceError, match=r"failed \(.*No module named.*nothing"):
        put("nothing")
    with pytest.raises(PlaceError, match=r"failed \(.*Expected `object`, got `array`"):
        put(ask=[])
    with pytest.raises(PlaceError, match="nobody has answered"):
        put(ask=ask("folder", tmp_path), seconds=0.001)


def told(error):
    def fails():
        raise error

    return answers.given(fails, VaultAnswer, failed="it could not be asked", unforeseen=HomeError)


def test_an_error_is_told_by_the_nearest_class_that_whoever_asked_knows_and_without_secrets():
    assert told(Superseded("x", "y")) == VaultAnswer(error="Refused", what="x", todo="Y.")
    assert issubclass(Superseded, Refused)
    secret = "ghp_" + "a1B2" * 9
    assert secret not in msgspec.json.encode(told(BadInput(f"x {secret}", f"y {secret}"))).decode()


def test_what_nobody_foresaw_is_a_sentence_and_recorded(capsys):
    answer = told(ZeroDivisionError("by nought"))
    assert (answer.error, answer.what) == ("HomeError", "it could not be asked (ZeroDivisionError: by nought)")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [PlatformError, None])
def test_an_error_whose_class_needs_more_than_words_or_is_none_comes_as_the_other(kind, monkeypatch):
    name = "sys" if kind is None else kind.__name__
    answer = msgspec.json.encode(VaultAnswer(error=name, what="x", todo="y"))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: type("Done", (), {"stdout": answer, "stderr": b"", "returncode": 0}))
    with pytest.raises(HomeError, match="x"):
        put()
