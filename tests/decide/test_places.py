"""Which environment this is, what is allowed there, how a host's words are read, what makes a candidate."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import colab, places, remote, tenure
from qcity_nb.decide.remote import Said
from qcity_nb.errors import BadInput
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Parcel, PlaceReport, Ruling, Running, Tier, Venue

BOX = PlaceConfig(name="box", kind="ssh", options={"host": "h"})
GOOD = """Welcome to box!
qcity-says: system Linux x86_64
qcity-says: python 3.12.1 /usr/bin/python3
qcity-says: venv yes
qcity-says: git git version 2.39.5
qcity-says: writable /home/me
qcity-says: disk 5000000
qcity-says: tag
"""


@pytest.mark.parametrize(
    ("env", "venue"),
    [
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive", "COLAB_RELEASE_TAG": "x"}, Venue.KAGGLE),
        ({"COLAB_RELEASE_TAG": "2026.10", "JPY_PARENT_PID": "7"}, Venue.COLAB),
        ({"BINDER_LAUNCH_HOST": "https://mybinder.org/", "JUPYTERHUB_USER": "jovyan"}, Venue.BINDER),
        ({"JUPYTERHUB_USER": "ada", "JPY_SESSION_NAME": "a.ipynb"}, Venue.JUPYTERHUB),
        ({"DEEPNOTE_PROJECT_ID": "1", "JPY_PARENT_PID": "7"}, Venue.DEEPNOTE),
        ({"DATABRICKS_RUNTIME_VERSION": "15.4"}, Venue.DATABRICKS),
        ({"COCALC_PROJECT_ID": "1", "JPY_PARENT_PID": "7"}, Venue.COCALC),
        ({"SAGEMAKER_INTERNAL_IMAGE_URI": "x", "JPY_PARENT_PID": "7"}, Venue.SAGEMAKER),
        ({"SERVER_SOFTWARE": "voila/0.5.13", "JPY_PARENT_PID": "7"}, Venue.VOILA),
        ({"SERVER_SOFTWARE": "nginx", "JPY_PARENT_PID": "7"}, Venue.JUPYTER),
        ({"QCITY_NB_HEADLESS": "1", "VSCODE_PID": "1", "KAGGLE_KERNEL_RUN_TYPE": "Batch"}, Venue.KAGGLE),
        ({"VSCODE_PID": "1", "JPY_SESSION_NAME": "a.ipynb"}, Venue.VSCODE),
        ({"QCITY_NB_HEADLESS": "1", "CI": "true"}, Venue.PAPERMILL),
        ({"GITHUB_ACTIONS": "true"}, Venue.CI),
        ({"CI": "false", "VSCODE_PID": "1"}, Venue.VSCODE),
        ({"JPY_SESSION_NAME": "a.ipynb"}, Venue.JUPYTER),
        ({"PATH": "/bin"}, Venue.BARE),
    ],
)
def test_an_environment_is_told_by_what_it_sets_itself(env, venue):
    assert places.detect(env) is venue


def test_kaggle_is_told_by_its_folder_and_a_kernel_without_variables_is_jupyter():
    assert places.detect({"COLAB_NOTEBOOK_ID": "x"}, paths={"/kaggle/input"}) is Venue.KAGGLE
    assert places.detect({}, kernel=True) is Venue.JUPYTER
    assert places.detect({"JPY_PARENT_PID": "7"}, paths={"/home/studio-lab-user"}) is Venue.STUDIO_LAB
    assert places.detect({"COLAB_RELEASE_TAG": "x"}, paths={"/home/studio-lab-user"}) is Venue.COLAB


def test_dagshub_is_no_venue_and_is_said_beside_one():
    assert places.attached({"DAGSHUB_TOKEN": "x"}) == places.attached({"MLFLOW_TRACKING_URI": "https://dagshub.com/a/b.mlflow"}) == ("DagsHub",)
    assert places.attached({"MLFLOW_TRACKING_URI": "https://mlflow.example"}) == ()


@pytest.mark.parametrize("venue", Venue)
@pytest.mark.parametrize("tier", Tier)
def test_every_refusal_names_its_reason_and_what_works_instead(venue, tier):
    ruling = places.policy(venue, tier)
    assert ruling.allowed or (ruling.why and "ssh" in ruling.todo)


def test_free_colab_is_refused_paid_colab_is_bounded_and_unknown_counts_as_free():
    assert not places.policy(Venue.COLAB, Tier.FREE).allowed
    assert not places.policy(Venue.COLAB).allowed
    paid = places.policy(Venue.COLAB, Tier.PAID)
    assert paid.allowed
    assert paid.hours == 24


@pytest.mark.parametrize("given_", ["0", "-1", "25", "nan", "inf", "many"])
def test_hours_that_cannot_be_had_are_refused(given_):
    with pytest.raises(BadInput):
        places.bounded(Ruling(hours=24), {"hours": given_}, default=6)


def test_hours_are_those_asked_for_or_the_usual_ones():
    assert places.bounded(Ruling(hours=24), {"hours": "12"}, default=6) == 12
    assert places.bounded(Ruling(hours=4), {}, default=6) == 4


@pytest.mark.parametrize("name", ["", "-x", "a/b", "..", "a b", "x" * 41])
def test_names_that_cannot_be_a_file_are_refused(name):
    with pytest.raises(BadInput):
        places.known_name(name)


def test_reports_become_candidates_in_order():
    """Allowed ones first by health, start time, price; what policy refuses is none."""
    configs = [PlaceConfig(name="colab"), PlaceConfig(name="slow", start=timedelta(minutes=5)), PlaceConfig(name="box"), PlaceConfig(name="ill")]
    reports = [
        PlaceReport(place="colab", kind="colab", allowed=False, why="forbidden"),
        PlaceReport(place="slow", kind="ssh"),
        PlaceReport(place="box", kind="ssh"),
        PlaceReport(place="ill", kind="ssh", missing=("git is not installed",), why="no git"),
    ]
    refused, ill = places.failing(reports)
    assert refused == {"colab": "forbidden"}
    assert ill == {"ill": "no git"}
    assert [one.place for one in tenure.order(tenure.candidates(configs, refused=refused, ill=ill))] == ["box", "slow", "ill"]


def test_a_good_host_is_read_through_its_greeting():
    report = remote.report(BOX, Said(code=0, out=GOOD))
    assert report.ready
    assert (report.python, report.git, report.disk) == ("3.12.1 /usr/bin/python3", "2.39.5", 5000000 * 1024)


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        ("qcity-says: venv yes\n", "", "apt-get install python3-venv"),
        ("qcity-says: git git version 2.39.5\n", "", "git is not installed"),
        ("qcity-says: writable /home/me\n", "", "cannot be written"),
        ("disk 5000000", "disk 200000", "only 195 MB are free"),
        ("qcity-says: python 3.12.1 /usr/bin/python3\n", "qcity-says: old 3.8.10\n", "no Python 3.10 or newer, only 3.8.10"),
    ],
)
def test_what_a_host_lacks_is_a_sentence(line, instead, words):
    report = remote.report(BOX, Said(code=0, out=GOOD.replace(line, instead)))
    assert not report.healthy
    assert words in report.why


def test_a_place_that_has_the_package_needs_no_room_for_it():
    assert remote.report(BOX, Said(code=0, out=GOOD.replace("disk 5000000", "disk 200000").replace("says: tag", "says: tag 0.1.0-abc"))).ready


@given(st.text())
def test_whatever_a_host_says_is_read_without_an_error(text):
    assert remote.report(BOX, Said(code=0, out=text)).kind == "ssh"
    assert remote.state(BOX, Said(code=0, out=text)).running in Running
    assert colab.told(text.splitlines()) is None or text
    colab.balance(text)


def test_a_status_is_read_through_a_greeting():
    shape = {"engine": {"alive": True, "sentence": "The engine is running.", "generation": 2}, "headline": "No runner yet."}
    state = remote.state(BOX, Said(code=0, out="Welcome!\n" + json.dumps(shape)))
    assert (state.running, state.generation, state.headline) == (Running.UP, 2, "No runner yet.")
    assert remote.state(BOX, Said(code=3, out="")).running is Running.ABSENT


def test_no_script_holds_a_secret_and_odd_names_are_quoted():
    parcel = Parcel(wheel="/w/qcity_nb-1-py3-none-any.whl", version="1", tag="1-a", store="postgresql://u:hush@h/d", credentials={"t": "hush"})
    site = remote.site("my folder; rm -rf /", python="/opt/a b/python")
    scripts = [remote.install(site, parcel, "/opt/a b/python", index="https://index/?a&b"), remote.put(site, "home/secrets/x;y"), remote.probe(site)]
    assert "hush" not in "".join(scripts)
    assert all("'my folder; rm -rf /'" in script for script in scripts)
    assert "'/opt/a b/python' -m venv" in scripts[0]
    assert "'home/secrets/x;y'" in scripts[1]


def test_a_cell_of_colab_says_how_its_script_ended():
    told = colab.told(["noise", 'qcity-says: [0, "out", "err"]', "qcity-says: garbled"])
    assert told == colab.Told(code=0, out="out", more="err")
    assert colab.balance("Current balance: 1,234.50 compute units") == 1234.5
    compile(colab.cell("echo 'a' \"b\"\n", data="/content/x"), "cell", "exec")
    compile(colab.cell("echo 'a' \"b\"\n", data="/content/x", talks=True), "cell", "exec")
    compile(colab.holding(remote.site("/content/.qcity/a"), 60.0, "2026-01-01T00:00:00+00:00"), "cell", "exec")


def test_notebooks_are_executed_beside_what_an_engine_uses():
    """What is installed for them has a folder of its own; this machine needs none."""
    site = remote.aside(remote.site(".qcity/box"))
    assert (site.base, site.home) == ('"$HOME"/.qcity/box-notebooks', '"$HOME"/.qcity/box-notebooks/home')
    script = remote.install(site, Parcel(wheel="/w/a.whl", version="1", tag="1-a", store="x"), "python3", extra="run")
    assert "/wheels/a.whl[postgres,run]" in script
    assert remote.far(site, "1-a").endswith('exec "$HOME"/.qcity/box-notebooks/venv-1-a/bin/python -m qcity_nb.kinds.notebooks.far')
    here = replace(site, installs=False, python="/opt/a b/python")
    assert remote.aside(here) == here
    assert "exec '/opt/a b/python' -m" in remote.far(here, "1-a")
    assert remote.prune(here) == ":"
