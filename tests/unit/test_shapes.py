"""What --json prints is what schema.json describes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema
import pytest

from qcity_nb import cli
from qcity_nb.client import shapes
from qcity_nb.model.service import Exit, Phase
from qcity_nb.model.work import Outcome

_spec = importlib.util.spec_from_file_location("unit_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)

COMMANDS = {
    "status": ["status"],
    "runners": ["runner", "list"],
    "runner": ["runner", "show", "web"],
    "jobs": ["job", "list"],
    "job": ["job", "show", "1"],
    "incidents": ["incident", "list"],
    "incident": ["incident", "show", "1"],
    "notebook_runs": ["notebook", "list"],
    "schedules": ["schedule", "list"],
    "engine": ["engine", "status"],
    "fleet": ["fleet", "status"],
    "doctor": ["doctor"],
    "places": ["place", "list"],
    "place": ["place", "check", "me"],
    "place_state": ["place", "status", "other"],
    "tunnels": ["tunnel", "list"],
    "tunnel_shown": ["tunnel", "show", "app"],
    "link_bindings": ["links", "list"],
    "link_changes": ["links", "sync", "--check"],
    "link_log": ["links", "log"],
    "vaults": ["vault", "list"],
    "copies": ["vault", "copies", "drive"],
    "platforms": ["platform", "list"],
    "served": ["serve", "list"],
}


def check(name, document):
    schema = shapes.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"}, format_checker=jsonschema.FormatChecker())
    validator.validate(document)


ASKED_OF_PLATFORMS = {"plan", "agents"}
"""Listings that need an attendant: held to their shapes in tests/real/test_agents.py."""
OF_NOTEBOOKS = {"notebook_run", "moments"}  # tests/notebooks holds them to their shape
OF_LINKS = {"link_check", "link_files", "pre_deploy"}  # tests/links holds them to their shape
OF_PAGES = {"healthz"}  # tests/web holds it to its shape
OF_ENGINES = {"drill", "tunnel"}
"""What needs real engines: held to its shape in tests/real/test_fleet.py."""


def test_every_listing_has_a_shape_and_every_shape_a_listing():
    assert set(shapes.schema()["$defs"]) == set(COMMANDS) | ASKED_OF_PLATFORMS | OF_ENGINES | OF_NOTEBOOKS | OF_LINKS | OF_PAGES


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("engine_runs", [True, False])
def test_the_command_prints_its_shape(name, engine_runs, city, engine, sqlite, capsys):
    scene.put_runner(sqlite, "local-1", beats=5)
    scene.put_runner(sqlite, "web", phase=Phase.QUARANTINED, kind="command", reason="x", last_exit=Exit(code=3))
    scene.put_build(sqlite, outcome=Outcome.FAILURE)
    scene.put_build(sqlite)
    scene.put_incident(sqlite)
    scene.put_tunnel(sqlite)
    scene.put_platform(sqlite)
    scene.put_incident(sqlite, "web", state="open")
    for place in ("me", "here"), ("other", "shared"):
        cli.main(["--home", str(sqlite.home.root), "place", "add", *place])
    cli.main(["--home", str(sqlite.home.root), "place", "status", "other"])
    assert cli.main(["--home", str(sqlite.home.root), "vault", "add", "drive", "folder", str(sqlite.home.root.with_name("drive"))]) == 0
    capsys.readouterr()
    if not engine_runs:
        engine.die()
    cli.main(["--home", str(sqlite.home.root), *COMMANDS[name], "--json"])
    document = json.loads(capsys.readouterr().out)
    check(name, document)
    assert "hush" not in json.dumps(document)


@pytest.mark.parametrize("name", ["status", "runners", "jobs", "incidents", "engine", "doctor", "places", "vaults", "platforms"])
def test_an_empty_place_has_the_same_shapes(name, sqlite, capsys):
    cli.main(["--home", str(sqlite.home.root), *COMMANDS[name], "--json"])
    check(name, json.loads(capsys.readouterr().out))


def test_python_gives_the_same_shape(city):
    check("status", city.status().json())
