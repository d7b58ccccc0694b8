"""What is brought to a place: the wheel of this very package, credentials by name, a qcity.toml, the address of a shared store."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from importlib import resources
from pathlib import Path

import pytest

import qcity_nb
from qcity_nb.errors import BadInput, NotFound
from qcity_nb.io import secrets
from qcity_nb.kinds.places import parcel
from qcity_nb.model.fleet import PlaceConfig


def config(**options):
    return PlaceConfig(name="box", kind="ssh", options=options)


def test_the_same_files_give_the_same_wheel_and_every_file_is_in_its_record(home, tmp_path):
    first, second = parcel.pack(config(), home=home), parcel.pack(config(), home=home)
    assert first.tag == second.tag
    with zipfile.ZipFile(first.wheel) as archive:
        names = archive.namelist()
        (record,) = [name for name in names if name.endswith(".dist-info/RECORD")]
        rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(archive.read(record).decode()))}
        assert set(rows) == set(names)
        for name in set(names) - {record}:
            content = archive.read(name)
            right = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert rows[name] == (f"sha256={right}", str(len(content)))
        assert archive.read("qcity_nb/__init__.py") == Path(qcity_nb.__file__).read_bytes()
        assert archive.read("qcity_nb/client/schema.json") == resources.files("qcity_nb.client").joinpath("schema.json").read_bytes()
        assert b"qcity = qcity_nb.cli:main" in archive.read(record.replace("RECORD", "entry_points.txt"))
        assert f"Version: {qcity_nb.__version__}".encode() in archive.read(record.replace("RECORD", "METADATA"))
    assert not [name for name in names if "__pycache__" in name]


def test_credentials_are_named_and_their_values_are_taken_from_the_home(home):
    secrets.keep(home, "github", "ghp_hush")
    assert parcel.pack(config(credentials="github"), home=home).credentials == {"github": "ghp_hush"}
    with pytest.raises(NotFound, match="nowhere"):
        parcel.pack(config(credentials="github, nowhere"), home=home)
    with pytest.raises(BadInput, match="no name of a credential"):
        parcel.pack(config(credentials="../place"), home=home)


def test_a_shared_store_is_given_only_when_asked_for_and_only_when_there_is_one(home):
    url = "postgresql+psycopg://u:hush@h/d"
    assert not parcel.pack(config(), home=home, store=url).store
    assert parcel.pack(config(store="shared"), home=home, store=url).store == url
    with pytest.raises(BadInput, match="is a file"):
        parcel.pack(config(store="shared"), home=home)
    with pytest.raises(BadInput, match="is no store"):
        parcel.pack(config(store="mine"), home=home)


def test_a_qcity_toml_that_cannot_be_read_is_named(home, tmp_path):
    good, bad = tmp_path / "qcity.toml", tmp_path / "bad.toml"
    good.write_text("[runner.a]\n")
    bad.write_bytes(b"\xff")
    assert parcel.pack(config(config=str(good)), home=home).config == "[runner.a]\n"
    for path in (bad, tmp_path / "gone.toml"):
        with pytest.raises(BadInput, match=path.name):
            parcel.pack(config(config=str(path)), home=home)
