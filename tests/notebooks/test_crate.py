"""Artifacts on their way back from elsewhere: plain files, all or none."""

from __future__ import annotations

import base64
import io
import tarfile

import pytest

from qcity_nb.kinds.notebooks import crate


def test_files_come_back_and_links_and_pipes_do_not(tmp_path):
    there = tmp_path / "there"
    (there / "deep").mkdir(parents=True)
    (there / "deep" / "model.bin").write_bytes(b"\0\1")
    (there / "run.sh").write_text("true")
    (there / "run.sh").chmod(0o4755)
    (there / "link").symlink_to("/etc/passwd")
    (there / "folder").symlink_to("/etc")
    text, left = crate.pack(there)
    assert left == ""
    here = tmp_path / "run" / "artifacts"
    here.mkdir(parents=True)
    (here / "old").write_text("of another attempt")
    assert crate.unpack(text, here) == ""
    assert sorted(path.relative_to(here).as_posix() for path in here.rglob("*")) == ["deep", "deep/model.bin", "run.sh"]
    assert (here / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert [path.name for path in here.parent.iterdir()] == ["artifacts"]


def test_nothing_is_nothing(tmp_path):
    assert crate.pack(tmp_path) == ("", "")
    assert crate.unpack("", tmp_path / "artifacts") == ""
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(("name", "value", "words"), [("LARGEST", 5, "they have 10 B, and 5 B come back"), ("MOST", 1, "they are 2 files, and 1")])
def test_what_is_too_much_stays_there_in_one_sentence(tmp_path, monkeypatch, name, value, words):
    for file in "ab":
        (tmp_path / file).write_text("12345")
    text, _ = crate.pack(tmp_path)
    monkeypatch.setattr(crate, name, value)
    made, left = crate.pack(tmp_path)
    assert made == ""
    assert words in left
    assert "more than may come back" in crate.unpack(text, tmp_path / "artifacts")


def crafted(name, kind=tarfile.REGTYPE):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    return base64.b64encode(packed.getvalue()).decode()


@pytest.mark.parametrize(
    "text",
    [
        crafted("../outside"),
        crafted("/outside"),
        crafted("a/../../outside"),
        crafted("link", tarfile.SYMTYPE),
        crafted("link", tarfile.LNKTYPE),
        crafted("pipe", tarfile.FIFOTYPE),
        crafted("x")[:40],
        "no crate",
    ],
    ids=("above", "absolute", "through", "symlink", "link", "pipe", "cut", "none"),  # a crate holds the time: no name for a test
)
def test_whatever_else_is_in_it_is_a_sentence_and_nothing_is_written(tmp_path, text):
    here = tmp_path / "run" / "artifacts"
    here.parent.mkdir()
    assert crate.unpack(text, here).startswith("its artifacts could not be taken: ")
    assert [path.name for path in tmp_path.rglob("*")] == ["run"]
