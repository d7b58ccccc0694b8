"""The cell magic `%%qcity_job` in a real IPython shell, with an engine that only answers commands."""

from __future__ import annotations

import atexit
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from qcity_nb.model.home import Home
from qcity_nb.model.schedule import Run as Row
from qcity_nb.model.schedule import RunPlan, RunState, Schedule
from qcity_nb.store import runs as store

from .conftest import put_runner

pytestmark = pytest.mark.filterwarnings("ignore")  # IPython's own, about its history and its frontend


@pytest.fixture
def shell(city, monkeypatch, tmp_path):
    """A shell with the extension and the variable `city`."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    made = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    made.user_ns["city"] = city
    made.run_line_magic("load_ext", "qcity_nb")
    yield made
    made.atexit_operations()
    atexit.unregister(made.atexit_operations)


@pytest.fixture
def answers(engine, sqlite):
    """An engine that keeps what it is asked, and says that every run is done."""
    at = datetime.now(timezone.utc)

    def run(command):
        with sqlite.write() as connection:
            row = Row(id=0, schedule="", key=str(command.id), plan=RunPlan(notebook=command.args["plan"]["notebook"]), at=at, start=at, planned=at,
                      state=RunState.DONE, started=at, finished=at)  # fmt: skip
            return "done", {"run": store.add_run(connection, sqlite.place, row)}

    def put(command):
        schedule = msgspec.convert({name: value for name, value in command.args.items() if name != "fresh"}, Schedule, strict=False)
        with sqlite.write() as connection:
            store.put_schedule(connection, sqlite.place, schedule, dealt=at, upcoming=at + timedelta(hours=1), at=at)
        return "done", {"name": schedule.name}

    engine.answers |= {"notebook.run": run, "schedule.put": put}
    return engine


def sources(path):
    return [cell["source"] for cell in json.loads(path.read_text())["cells"]]


def test_a_cell_becomes_a_notebook_and_its_run_is_the_result(shell, city, answers):
    line = "--name nightly -p day=3 -p 'who=you and me' --retries 2 --timeout 30m"
    result = shell.run_cell(f"%%qcity_job {line}\n# %% load\nx = day\n# %% show\n%time print(x)")
    assert result.success
    assert result.result.state is RunState.DONE
    assert shell.user_ns["_"] is result.result
    path = Home(city.home).cell("nightly", scheduled=False)
    cells = sources(path)
    assert cells[0] == "day = 3\nwho = 'you and me'"
    assert cells[2:] == ["# %% load\nx = day", "# %% show\n%time print(x)"]
    assert json.loads(path.read_text())["cells"][0]["metadata"]["tags"] == ["parameters"]
    plan = answers.seen[-1].args["plan"]
    assert (plan["notebook"], plan["parameters"], plan["retry"]["times"], plan["timeout"]) == (str(path), {}, 2, "PT1800S")


def test_the_code_runs_where_the_notebook_is(shell, city, answers, tmp_path):
    shell.run_cell("%%qcity_job --name here\n1")
    first = sources(Home(city.home).cell("here", scheduled=False))[0]
    assert f"os.chdir({str(tmp_path)!r})" in first


def test_the_same_cell_is_the_same_job_and_another_one_another(shell, city, answers):
    for code in ("print(1)", "print(1)", "print(2)"):
        assert shell.run_cell(f"%%qcity_job\n{code}").success
    assert len(list((city.home / "cells").iterdir())) == 2


def test_with_cron_it_is_a_schedule_that_a_second_run_of_the_cell_replaces(shell, city, answers, capsys):
    for code in ("print('old')", "print('new')"):
        assert shell.run_cell(f'%%qcity_job --name nightly --cron "0 3 * * *" --tz Europe/Paris\n{code}').success
    (schedule,) = city.notebooks.schedules
    assert (schedule.name, schedule.cron, schedule.zone) == ("nightly", "0 3 * * *", "Europe/Paris")
    assert sources(Home(city.home).cell("nightly", scheduled=True))[-1] == "print('new')"
    said = capsys.readouterr().out
    assert "nightly runs this cell: 0 3 * * * Europe/Paris; next " in said
    assert said.count("03:00") == 2 * 3


def test_a_trial_without_cron_changes_nothing_of_what_is_scheduled(shell, city, answers):
    shell.run_cell('%%qcity_job --name nightly --cron "0 3 * * *"\nprint("scheduled")')
    shell.run_cell('%%qcity_job --name nightly\nprint("trial")')
    assert sources(Home(city.home).cell("nightly", scheduled=True))[-1] == 'print("scheduled")'
    assert sources(Home(city.home).cell("nightly", scheduled=False))[-1] == 'print("trial")'


def test_a_paused_schedule_stays_paused_when_its_cell_is_run_again(shell, city, answers, said):
    cell = '%%qcity_job --name nightly --cron "0 3 * * *"\n1'
    shell.run_cell(cell)
    with city.link.store.write() as connection:
        row = store.schedule_of(connection, city.link.place, "nightly")
        paused = Schedule(name="nightly", plan=row.schedule.plan, cron="0 3 * * *", paused=True)
        store.put_schedule(connection, city.link.place, paused, dealt=row.dealt, upcoming=None, at=row.created)
    shell.run_cell(cell)
    assert [one.paused for one in city.notebooks.schedules] == [True]
    assert said[-1].startswith("nightly is paused, as before; ")


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("--nam x", "1", "%%qcity_job does not understand --nam x. Did you mean --name?"),
        ("--cron 0 3 * * *", "1", "%%qcity_job does not understand 3. Put what has blanks into quotes"),
        ("--cron '0 3", "1", "%%qcity_job: no closing quotation in its first line. Put what has blanks into quotes"),
        ("--cron '0 3 * *' --name x", "1", 'the cron line "0 3 * *" has 4 fields. '),
        ("--cron '0 3 * * *'", "1", "a schedule needs a name, so that this cell replaces it when it is run again."),
        ("--cron '0 3 * * *' --name x --tz Europe/Pari", "1", 'there is no time zone "Europe/Pari". Did you mean "Europe/Paris"?'),
        ("--cron '0 3 * * *' --at '2030-01-01 03:00' --name x", "1", "a schedule needs a cron line or a moment, and not both."),
        ("--cron '0 3 * * *' --name x --detach", "1", "--detach is for a cell that runs now."),
        ("--name ../../etc", "1", 'a job cannot be called "../../etc".'),
        ("--retries many", "1", "%%qcity_job: argument --retries: invalid int value: 'many'."),
        ("--timeout soon", "1", 'timeout is "soon", which is no length of time.'),
        ("-p day", "1", '-p "day" is no parameter. Write it as NAME=VALUE.'),
        ("-p 1day=3", "1", '-p 1day: "1day" cannot be the name of a variable.'),
        ("-p class=3", "1", '-p class: "class" cannot be the name of a variable.'),
        ("-p db_password=hunter22", "1", "the parameter db_password looks like a secret"),
        ("", "\n", "the cell has no code below its first line."),
        ("", "# %% load\n# to be written\n", "the cell has no code below its first line."),
        ("", "x = 1\n\n# %% two\nif x\n    1", "the cell is no Python: line 5: "),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_started(shell, city, answers, capsys, line, code, sentence):
    result = shell.run_cell(f"%%qcity_job {line}\n{code}")
    shown = capsys.readouterr()
    assert not result.success
    assert sentence in shown.err
    assert shown.err.startswith("UsageError: ")
    assert "Traceback" not in shown.out + shown.err
    assert not answers.seen


def test_a_schedule_that_is_refused_leaves_the_one_before_as_it_was(shell, city, answers):
    shell.run_cell('%%qcity_job --name nightly --cron "0 3 * * *"\nprint("old")')
    assert not shell.run_cell('%%qcity_job --name nightly --cron "99 3 * * *"\nprint("new")').success
    assert sources(Home(city.home).cell("nightly", scheduled=True))[-1] == 'print("old")'


def test_help_says_what_there_is(shell, capsys):
    assert shell.run_cell("%%qcity_job --help\n1").success
    said = capsys.readouterr().out
    assert "--cron CRON" in said
    assert "Run this cell as a job" in shell.find_cell_magic("qcity_job").__doc__


def test_loading_the_extension_is_light_until_it_is_asked_for():
    program = "import sys, qcity_nb; qcity_nb.load_ipython_extension; print('qcity_nb.ui.magic' in sys.modules, 'IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "False False\n"


def test_the_command_runs_at_the_notebooks_own_place(shell, city, sqlite, capsys):
    put_runner(sqlite, "mine")
    assert str(shell.run_line_magic("qcity", "").headline) == str(city.status().headline)
    assert str(shell.run_line_magic("qcity", "status").headline) == str(city.status().headline)
    shell.run_line_magic("qcity", "runner list --json")
    assert "mine" in capsys.readouterr().out


@pytest.mark.parametrize(("line", "words"), [("job show 9", "no job 9"), ("starrt", "starrt"), ('job show "', "no closing quotation")])
def test_what_a_command_complains_of_is_the_cells_error(shell, line, words, capsys):
    ran = shell.run_cell(f"%qcity {line}")
    assert not ran.success
    told = capsys.readouterr()
    assert re.search(words, str(ran.error_in_exec) + told.err)
    assert "Traceback" not in told.err + told.out
