"""The stand-in of Hugging Face Jobs, driven by Hugging Face's own client where that is installed: its shapes are the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from qcity_nb.io import secrets
from qcity_nb.kinds.places import open_place
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Parcel, Running
from qcity_nb.testing.huggingface import FakeHuggingFace

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
PROGRAM = """
import json
from huggingface_hub import HfApi
api = HfApi()
made = api.run_job(image="python:3.12", command=["true"], secrets={"T": "hush"}, labels={"qcity": "theirs"}, timeout="1h")
listed = [job.id for job in api.list_jobs(labels={"qcity": "ours"})]
for id_ in listed:
    api.cancel_job(job_id=id_)
print(json.dumps({"made": made.id, "stage": made.status.stage, "listed": listed, "hardware": [one.name for one in api.list_jobs_hardware()]}))
"""


@pytest.mark.real
def test_their_client_and_our_place_see_the_same_jobs(home):
    with FakeHuggingFace() as hub:
        secrets.keep(home, "huggingface", hub.token)
        place = open_place(PlaceConfig(name="ours", kind="huggingface", options={"url": hub.root}), home=home)
        place.start(Parcel(wheel="", version="1", tag="1"))
        env = {**os.environ, "HF_ENDPOINT": hub.root, "HF_TOKEN": hub.token, "HF_HOME": str(home.root / "hf")}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["listed"] == [hub.jobs[0]["id"]]
        assert "cpu-basic" in told["hardware"]
        assert place.status().running is Running.DOWN  # their client cancelled it
        ours, theirs = hub.jobs
        assert set(theirs) - {"timeoutSeconds"} <= set(ours)
        assert theirs["timeoutSeconds"] == 3600
        assert hub.secrets[theirs["id"]] == {"T": "hush"}
