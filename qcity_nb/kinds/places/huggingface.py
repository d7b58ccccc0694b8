"""A Hugging Face job whose one command is an engine, for a bounded time. It is found again by a label, so nothing about it has to be remembered here.

The container installs the package by `package`, a requirement or an address that pip takes; tokens go as the job's secrets. A job may also execute
one notebook for others: it and the result go through the exchange, a private dataset, and secrets through the job's own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from ...decide import huggingface, places
from ...decide.huggingface import Hardware, Job, Who
from ...decide.remote import Said
from ...decide.wording import line, sentence
from ...errors import BadInput, NotFound, PlaceError, QCityError, Refused
from ...io import secrets
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Parcel, PlaceReport, PlaceState, Ruling, Running, Sighting
from ..forges.http import Caller
from .exchange import NAME
from .hosted import Heard
from .jobs import Jobs
from .sending import Sending

BASE, HOURS, TOKEN = "https://huggingface.co", 6.0, "huggingface"
LIVING = {"RUNNING": Running.UP, "SCHEDULING": Running.STARTING}


class HuggingFace:
    """Jobs of one namespace that carry our label, as `ports.Place`."""

    holds = False

    def __init__(self, config: PlaceConfig, *, home: Home) -> None:
        self.config, self._home = config, home
        options = config.options
        self._base, self._flavor = options.get("url", BASE).rstrip("/"), options.get("flavor", "cpu-basic")
        self._hours = places.bounded(Ruling(), options, default=HOURS)

    @cached_property
    def _caller(self) -> Caller:
        return Caller(self._base, {"Authorization": f"Bearer {self._token}"}, who="Hugging Face")

    @property
    def _token(self) -> str:
        name = self.config.options.get("token", TOKEN)
        if not secrets.has(self._home, name):
            what = "there is no token for Hugging Face" + (f" called {name}" if name != TOKEN else "")
            raise NotFound(what, "Set HF_TOKEN in the environment or in Colab's secrets, or put it into the keyring; it has to allow jobs")
        return secrets.load(self._home, name)

    @cached_property
    def _namespace(self) -> str:
        return self.config.options.get("namespace") or self._caller.get("/api/whoami-v2", Who).name

    @cached_property
    def _jobs(self) -> Jobs:
        return Jobs(self._caller, self._namespace)

    def check(self) -> PlaceReport:
        """Whether the token is taken and there is such hardware; no job is started for a look."""
        report = PlaceReport(place=self.config.name, kind=self.config.kind)
        try:
            who, known = self._caller.get("/api/whoami-v2", Who).name, self._caller.get("/api/jobs/hardware", list[Hardware])
        except QCityError as error:
            return replace(report, reachable=False, why=sentence(error.what), todo=error.todo)
        flavor = next((one for one in known if one.name == self._flavor), None)
        if flavor is None:
            why = f'Hugging Face has no hardware "{self._flavor}".'
            return replace(report, why=why, todo=f"There is {', '.join(one.name for one in known[:8])}", missing=(why,))
        price = f" at {Decimal(str(flavor.unitCostUSD)):f} USD a {flavor.unitLabel}" if flavor.unitCostUSD is not None else ""
        why = f"{who} may ask for {self._flavor}{price}; {self.config.name} would end after {self._hours:g} hours at the latest."
        return replace(report, why=why, hours=self._hours)

    def start(self, parcel: Parcel) -> PlaceState:
        """Ask for a job, unless one of ours is there; a job whose answer was lost is found by its label the next time."""
        job = self._job()
        if job is None or job.status.stage not in LIVING:
            body = huggingface.request(self.config, parcel, flavor=self._flavor, seconds=int(self._hours * 3600))
            job = self._jobs.ask(body)
        return self._state(job)

    def status(self) -> PlaceState:
        """How the newest job of ours is; its engine is seen in the shared store only."""
        return self._state(self._job())

    def stop(self) -> PlaceState:
        """Cancel it."""
        job = self._job()
        if job is None or job.status.stage not in LIVING:
            return self._state(job)
        self._jobs.cancel(job)
        return self.status()

    def execute(self, parcel: Parcel, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """In a job of its own; only its end is heard of. The files of it are removed whatever comes of it. See `hosted.Executes`."""
        report = self.check()
        if not report.allowed:
            raise Refused(report.why, report.todo)
        if not report.healthy:
            raise PlaceError(report.why, report.todo, permanent=True)
        what = huggingface.errand(data, seconds=(report.hours or self._hours) * 3600)
        dataset = self.config.options.get("exchange") or f"{self._caller.get('/api/whoami-v2', Who).name}/qcity-runs"
        sending = Sending(self.config, home=self._home, caller=self._caller, jobs=self._jobs, dataset=dataset, what=what)
        job = sending.run(Path(parcel.wheel), heard, over, flavor=self._flavor, token=self._token)
        return Said(code=0, out=self._state(job).sentence)

    def _job(self) -> Job | None:
        ours = self._jobs.labelled("qcity", self.config.name)
        return max(ours, key=lambda job: (job.status.stage in LIVING, job.id), default=None)  # ids grow with time

    def _state(self, job: Job | None) -> PlaceState:
        name, kind = self.config.name, self.config.kind
        if job is None:
            return PlaceState(place=name, kind=kind, running=Running.ABSENT, sentence=f"There is no job of {name} at Hugging Face.")
        said = f": {job.status.message}" if job.status.message else ""
        text = sentence(f"The job {job.id} is {job.status.stage.lower()}{said}")
        link = f"{self._base}/jobs/{self._namespace}/{job.id}"
        return PlaceState(place=name, kind=kind, running=LIVING.get(job.status.stage, Running.DOWN), sentence=text, link=link)


class HuggingFaceKind:
    """Places of the kind `huggingface`."""

    def open(self, config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> HuggingFace:
        """Jobs with the label of this place."""
        known = ("url", "namespace", "flavor", "image", "package", "token", "hours", "repo", "config", "credentials", "store", "exchange")
        places.known_options(config, known)
        if not config.options.get("url", BASE).startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise BadInput(f"the address of Hugging Face has to begin with https:// (place {config.name})", "Leave url out")
        if (given := config.options.get("exchange")) and not NAME.fullmatch(given):
            what = f'"{line(given, limit=60)}" is no dataset (place {config.name})'
            raise BadInput(what, 'Write exchange = "OWNER/NAME"; it is made if there is none')
        return HuggingFace(config, home=home)


KIND = HuggingFaceKind()
