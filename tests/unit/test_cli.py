"""The command's words and exit codes."""

from __future__ import annotations

import importlib.util
import os
import stat
from pathlib import Path

import pytest

from qcity_nb import cli
from qcity_nb.cli import parser, screen, status
from qcity_nb.model.service import Phase
from qcity_nb.model.work import Outcome

_spec = importlib.util.spec_from_file_location("unit_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)


@pytest.fixture
def run(sqlite, capsys):
    def call(*argv):
        code = cli.main(["--home", str(sqlite.home.root), *argv])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err

    return call


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["stauts"], 'Did you mean "status"?'),
        (["runner", "strat", "local"], 'Did you mean "start"?'),
        (["status", "--jsn"], "Did you mean --json?"),
        (["job", "show", "abc"], '"abc" is no number'),
        (["status", "--", "x"], "nothing can stand after --"),
        (["status", "--for", "3"], "--for belongs to --watch"),
        (["status", "--watch", "--json"], "do not go together"),
        (["runner", "start", "command", "--name", "x"], "needs its program after --"),
        (["runner", "start", "command", "--", "true"], "needs a name"),
        (["runner", "start", "command", "--name", "x", "--slots", "2", "--", "true"], "takes no --slots"),
        (["runner", "start", "local", "--slots", "0"], "between 1 and 64"),
        (["runner", "start", "locl"], 'Did you mean "local"?'),
        (["job", "list", "--limit", "0"], "has to be 1 or more"),
        (["up", "--repo", "/no/where"], "there is no folder /no/where"),
        (["fleet", "stat"], 'Did you mean "status"?'),
        (["fleet", "join", "git:/r", "--term", "soon"], '"soon" is no duration'),
        (["fleet", "drill", "--places", "1"], "a drill needs 2 places"),
        (["fleet", "drill", "--rounds", "0"], "between 1 and 100"),
        (["fleet", "drill", "--term", "1 h"], "between 1 s and 10 min"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2(run, argv, sentence):
    code, out, err = run(*argv)
    assert code == 2
    assert out == ""
    assert err.startswith("qcity: ")
    assert sentence in err


def test_unknown_things_are_exit_code_1_with_the_nearest_name(run, sqlite):
    scene.put_runner(sqlite, "local-1")
    code, _, err = run("runner", "show", "locl-1")
    assert (code, err) == (1, 'qcity: there is no runner "locl-1".\n       Did you mean "local-1"?\n')
    assert run("job", "logs", "5")[0] == 1
    assert run("incident", "show", "5")[0] == 1


def test_health_is_the_exit_code_of_status(run, city, engine, sqlite):
    scene.put_runner(sqlite, "local-1", beats=3)
    assert run("status")[0] == 0
    scene.put_runner(sqlite, "web", phase=Phase.QUARANTINED, reason="5 restarts did not help")
    code, out, _ = run("status")
    assert code == 1
    assert out.startswith("✖ 1 of 2 needs you: web is quarantined")
    engine.die()
    code, out, _ = run("status")
    assert code == 1
    assert "died: its last sign of life" in out


def test_outside_a_terminal_there_is_no_colour_and_no_cursor_trick(run, city, sqlite):
    scene.put_runner(sqlite, "local-1", beats=3)
    scene.put_build(sqlite, outcome=Outcome.FAILURE)
    scene.put_incident(sqlite)
    for words in ("status", "runner list", "job list", "job show 1", "incident show 1", "doctor", "status --watch --for 0.1"):
        _, out, _ = run(*words.split())
        assert "\x1b" not in out
        assert "\u202e" not in out


def test_a_failed_job_is_shown_with_its_step_and_last_lines(run, sqlite):
    scene.put_build(sqlite, outcome=Outcome.FAILURE)
    _, out, _ = run("job", "show", "1")
    assert 'failed at    step 2 "run"' in out
    assert "    assert 3 == 4" in out
    assert run("job", "logs", "1")[1].endswith("assert 3 == 4\n")


def test_watching_prints_one_line_for_each_change(city, sqlite, capsys):
    scene.put_runner(sqlite, "local-1")
    from qcity_nb.cli import watch

    turns = watch._turns(city, None)
    seen = watch._plain(city, (next(turns) for _ in range(3)))
    lines = capsys.readouterr().out.splitlines()
    assert seen == 0
    assert [line[9:] for line in lines] == ["● local-1 is up", "● local-1 is well. Nothing runs."]


def test_live_status_says_once_how_links_are_beside_a_runner_that_is_worse(engine, sqlite, capsys):
    engine.start()
    scene.put_runner(sqlite, "local-1", phase=Phase.QUARANTINED, reason="its token expired")
    scene.put_runner(sqlite, "app", kind="tunnel")
    scene.put_tunnel(sqlite, "app")
    assert cli.live_status(["--home", str(sqlite.home.root), "--for", "1.2"]) == 1
    lines = [line[9:] for line in capsys.readouterr().out.splitlines()]
    assert lines[-1].startswith("✖ ")
    assert "its token expired" in lines[-1]
    assert [line[:45] for line in lines if "carried" in line] == ["▲ The address was not carried to links /nowhe"]


def test_following_a_log_survives_its_being_cut(tmp_path, capsys):
    log, turns = tmp_path / "log", iter([b"one\ntwo\n", b"two more\n", None])
    log.write_bytes(b"zero\n")

    def over():
        text = next(turns)
        if text is None:
            return True
        if text.startswith(b"two"):
            log.write_bytes(text[:4])  # shorter than before: it was cut
        else:
            log.write_bytes(log.read_bytes() + text)
        return False

    screen.follow(lambda: log, lines=5, over=over)
    assert capsys.readouterr().out.splitlines()[:3] == ["zero", "one", "two"]


def test_what_nobody_foresaw_leaves_a_file_and_a_sentence(run, sqlite, monkeypatch):
    def breaks(_args):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(status, "status", breaks)  # there is no other way to reach a mistake that is not there
    code, _, err = run("status")
    assert code == 1
    assert "mistake in qcity itself (ZeroDivisionError)" in err
    note = next(sqlite.home.root.glob("crash-*.txt"))
    assert str(note) in err
    assert "planted" in note.read_text()


def test_ctrl_c_is_130_and_a_reader_that_left_is_no_error(run, monkeypatch):
    def interrupted(_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "status", interrupted)
    assert run("status")[0] == 130


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_is_a_sentence(tmp_path, capsys):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert cli.main(["--home", str(tmp_path / "home"), "status"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_damaged_store_is_moved_aside_and_said(sqlite, run):
    sqlite.close()
    sqlite.home.store.write_bytes(b"not a database at all" * 500)
    for suffix in ("-wal", "-shm"):
        sqlite.home.store.with_name(sqlite.home.store.name + suffix).unlink(missing_ok=True)
    code, out, err = run("status")
    assert code == 0
    assert "The store was damaged" in err
    assert "No runner yet" in out


def test_doctor_speaks_even_without_a_store(tmp_path, capsys):
    (tmp_path / "home").write_text("")
    assert cli.main(["--home", str(tmp_path / "home"), "doctor"]) == 1
    out = capsys.readouterr().out
    assert "is a file, not a folder" in out
    assert "Python" in out


def test_every_verb_of_the_issue_is_there():
    text = parser.build().format_help()
    for verb in ("up", "status", "runner", "job", "incident", "engine", "doctor", "demo"):
        assert verb in text
