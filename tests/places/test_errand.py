"""The far end of an errand: what a Hugging Face job does, in this very process, against the stand-in."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys

import pytest
from nbformat import v4
from papermill.execute import prepare_notebook_metadata

from qcity_nb.kinds.forges.http import Caller
from qcity_nb.kinds.places import errand, exchange
from qcity_nb.kinds.places.exchange import BUNDLE, RESULT, WHEEL, Exchange, packed, unpacked
from qcity_nb.testing import faults
from qcity_nb.testing.forge import Forge
from qcity_nb.testing.huggingface import FakeHuggingFace

pytestmark = [pytest.mark.real]


@pytest.fixture
def face():
    with FakeHuggingFace() as fake:
        yield fake


@pytest.fixture
def branch(face, monkeypatch):
    """The exchange of an attempt, and the environment of its job."""
    made = Exchange(Caller(face.root, {"Authorization": f"Bearer {face.token}"}, who="Hugging Face"), "octo/runs", "b")
    made.open()
    for name, value in {
        "QCITY_HUB": face.root,
        "QCITY_EXCHANGE": "octo/runs",
        "QCITY_BRANCH": "b",
        "QCITY_TOKEN": face.token,
        "QCITY_PRIVATE": json.dumps({"env": {"DB_PASSWORD": "hush-hush"}, "secrets": ["hush-hush"]}),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(errand, "PAUSES", (0.0, 0.0, 0.0))
    return made


def sent(branch, cell):
    code = v4.new_code_cell(cell, metadata={"papermill": {}, "tags": []})
    nb = prepare_notebook_metadata(v4.new_notebook(cells=[code], metadata={"papermill": {}}), "a.ipynb", "b.ipynb")
    branch.put({BUNDLE: packed(json.dumps({"token": "a1", "notebook": json.dumps(nb), "kernel": "python3"}))})


def test_the_result_is_left_after_an_outage_and_secrets_come_from_the_environment(face, branch, capsys):
    sent(branch, "import os; print(os.environ['DB_PASSWORD'], len(os.environ['DB_PASSWORD']))")
    face.fault(faults.status(503), method="POST", path="*/commit/*", times=2)
    assert errand.main() == 0
    result = json.loads(unpacked(branch.get(RESULT)))
    assert json.loads(result["notebook"])["cells"][0]["outputs"][0]["text"] == ["*** 9\n"]
    said = capsys.readouterr().out
    assert said.startswith("cell 1 began\ncell 1 ended\n")
    assert "hush" not in said


def test_a_result_that_is_too_large_is_said_instead(branch, monkeypatch):
    noise = random.Random(3).randbytes(9000).hex()
    sent(branch, f"import random; print(random.Random(3).randbytes({len(noise) // 2}).hex())")
    monkeypatch.setattr(exchange, "LARGEST", 5000)
    assert errand.main() == 0
    result = json.loads(unpacked(branch.get(RESULT)))
    assert (result["type"], result["status"]) == ("result", "failed")
    assert "the result has" in result["reason"]


def test_artifacts_that_are_too_large_stay_there_and_the_notebook_comes(branch, monkeypatch):
    sent(branch, "import os, random; open(os.environ['QCITY_ARTIFACTS'] + '/a', 'wb').write(random.Random(3).randbytes(30000)); print('made')")
    monkeypatch.setattr(exchange, "LARGEST", 5000)
    assert errand.main() == 0
    result = json.loads(unpacked(branch.get(RESULT)))
    assert (result["status"], result["artifacts"]) == ("", "")
    assert result["left"].startswith("its artifacts stayed where it ran: the result has")
    assert json.loads(result["notebook"])["cells"][0]["outputs"][0]["text"] == ["made\n"]


def test_a_bundle_that_is_gone_is_a_line_in_the_log(branch, capsys):
    assert errand.main() == 1
    assert "nobody wants its result" in capsys.readouterr().out


def test_a_hub_that_does_not_know_the_token_any_more_is_a_line_in_the_log(face, branch, capsys):
    sent(branch, "1")
    face.tokens, face.token = set(), "hf_another"
    assert errand.main() == 1
    assert "does not accept the token" in capsys.readouterr().out


@pytest.mark.parametrize("away", [False, True])
def test_the_script_keeps_the_token_at_home_and_not_on_its_way_to_another_origin(face, branch, tmp_path, away):
    branch.put({WHEEL: base64.b64encode(b"PK wheel").decode()})
    fetches = errand.SCRIPT.partition("<<'END'\n")[2].partition("\nEND\n")[0]
    with Forge() as other:
        face.cache = other.root if away else "/"
        env = {**os.environ, "QCITY_WHEEL": "a.whl"}
        done = subprocess.run([sys.executable, "-c", fetches], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        asked = [(line.path, "Authorization" in line.headers) for line in other.log]
    if away:
        assert [told for _, told in asked] == [False]
        assert done.returncode == 1
    else:
        assert (tmp_path / "a.whl").read_bytes() == b"PK wheel", done.stderr
