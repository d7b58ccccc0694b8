"""A fleet from the library's side: what is asked of the engine, what a person reads, and where the hub's token goes."""

from __future__ import annotations

import importlib.util
import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import jsonschema
import msgspec
import pytest

from qcity_nb import cli
from qcity_nb.client import shapes
from qcity_nb.errors import NotFound
from qcity_nb.io import secrets
from qcity_nb.model.fleet import ClaimView, FleetConfig, PlaceConfig
from qcity_nb.model.service import Phase
from qcity_nb.store import fleets

_spec = importlib.util.spec_from_file_location("unit_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)

PLACES = (PlaceConfig(name="desk"), PlaceConfig(name="colab", kind="colab", price=Decimal("0.35"), start=timedelta(minutes=2), budget=Decimal(5)))


def put_fleet(store, *claims):
    config = FleetConfig(lease="git:/leases.git", term=timedelta(seconds=60), me="desk", places=PLACES)
    with store.write() as connection:
        fleets.put(connection, store.place, config, at=datetime.now(timezone.utc))
        fleets.tell(connection, store.place, claims)


def view(**more):
    now = datetime.now(timezone.utc)
    given = {"claim": "web", "holder": "colab", "epoch": 3, "state": "held", "since": now, "renewed": now, "looked": now, "next": "desk", **more}
    return ClaimView(**given)


def test_joining_tells_the_engine_all_of_it(city, engine):
    city.fleet.join("git:/leases.git", term=30, me="desk", places=["lab", *PLACES])
    told = msgspec.convert(engine.seen[0].args, FleetConfig, strict=False)
    assert told == FleetConfig(lease="git:/leases.git", term=timedelta(seconds=30), me="desk", places=(PlaceConfig(name="lab"), *PLACES))


def test_the_hubs_token_goes_into_a_file_and_nowhere_else(city, engine, said, monkeypatch, sqlite):
    for name in ("QCITY_HF_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotFound, match="no token for Hugging Face"):
        city.fleet.join("huggingface:ann/leases", term=300)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    city.fleet.join("huggingface:ann/leases", term=300)
    assert secrets.load(sqlite.home, "huggingface") == "hf_secret"
    assert "hf_secret" not in json.dumps([command.args for command in engine.seen]) + "".join(said)


def test_a_runner_whose_claim_another_place_holds_is_started_and_stands_by(city, engine, sqlite):
    def standby(command):
        scene.put_runner(sqlite, command.subject, phase=Phase.STOPPED, kind="command", standby=True, reason="web is held by colab (epoch 3)")
        with sqlite.write() as connection:
            (row,) = scene.services.all_of(connection, sqlite.place)
            spec = scene.replace(row.spec, claim="web")
            state = scene.replace(row.state, desired=scene.Desired.UP)
            scene.services.add(connection, sqlite.place, spec, state, at=row.created)
        put_fleet(sqlite, view())
        return "done", {}

    engine.answers["runner.start"] = standby
    runner = city.runners.start("command", "web", command=["true"], claim=True)
    assert engine.seen[0].args["claim"] == "web"
    assert "stands by: web is held by colab (epoch 3)" in repr(runner)


@pytest.mark.parametrize(
    ("claim", "code", "words"),
    [
        (view(), 0, "0 of 1 claim held here"),
        (view(mine=True, holder="desk"), 0, "1 of 1 claim held here"),
        (view(state="free", holder=""), 1, "nobody"),
        (view(trouble="the leases cannot be reached"), 1, "the leases cannot be reached"),
    ],
)
def test_the_command_says_who_holds_what(sqlite, capsys, claim, code, words):
    put_fleet(sqlite, claim)
    assert cli.main(["--home", str(sqlite.home.root), "fleet", "status"]) == code
    out = capsys.readouterr().out
    assert words in out
    assert "git:/leases.git" in out


def test_the_json_shape_of_a_fleet_is_the_documented_one(sqlite, capsys):
    put_fleet(sqlite, view(), view(claim="api", looked=None, renewed=None))
    cli.main(["--home", str(sqlite.home.root), "fleet", "status", "--json"])
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator({**shapes.schema(), "$ref": "#/$defs/fleet"}).validate(found)
    assert found["places"][1] == {"name": "colab", "kind": "colab", "price": 0.35, "start_s": 120.0, "budget": 5.0}


def test_a_place_in_no_fleet_says_so(sqlite, capsys):
    assert cli.main(["--home", str(sqlite.home.root), "fleet", "status"]) == 1
    assert capsys.readouterr().out == "This place is in no fleet.\n"


def test_the_picture_for_notebooks_is_escaped(city, sqlite):
    put_fleet(sqlite, view(holder=scene.NASTY))
    shown = city.fleet._repr_html_()
    assert "<script" not in shown
    assert "\x1b" not in repr(city.fleet)
