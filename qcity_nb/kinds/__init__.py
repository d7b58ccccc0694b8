"""The table of kinds: one line each, loaded at first use. A new kind is one file beside its siblings and one line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A line of the table. `support`: 1 tested in CI, 2 tested by hand, 3 given by the community."""

    label: str
    path: str
    support: int = 1
    needs: str = ""


KINDS: dict[str, dict[str, Kind]] = {
    "runners": {
        "local": Kind(label="runs the workflows of a git repository on this machine", path="qcity_nb.kinds.runners.local:KIND", needs="act, git"),
        "command": Kind(label="keeps any long-lived agent running", path="qcity_nb.kinds.runners.command:KIND"),
        "github": Kind(label="GitHub's runner, of a repository or organisation", path="qcity_nb.kinds.runners.forge.github:KIND", needs="a token"),
        "gitlab": Kind(label="GitLab's own runner, for a project or a group", path="qcity_nb.kinds.runners.forge.gitlab:KIND", needs="a token"),
        "place": Kind(label="keeps an engine up at another place", path="qcity_nb.kinds.runners.place:KIND"),
        "foreign": Kind(label="an agent that somebody else started: watched only", path="qcity_nb.kinds.runners.forge.foreign:KIND"),
        "attendant": Kind(label="looks after the runners of forges; started by the engine", path="qcity_nb.kinds.runners.forge.service:KIND"),
        "notebooks": Kind(
            label="runs notebooks; started by the engine", path="qcity_nb.kinds.notebooks.service:KIND", needs="papermill, nbclient, ipykernel"
        ),
    },
    "forges": {
        "github": Kind(label="github.com and enterprise servers", path="qcity_nb.kinds.forges.github:GitHub"),
        "gitlab": Kind(label="gitlab.com and self-managed GitLab", path="qcity_nb.kinds.forges.gitlab:GitLab"),
    },
    "leases": {
        "git": Kind(label="a ref of any git remote, pushed with lease", path="qcity_nb.kinds.leases.git:KIND", needs="git"),
        "store": Kind(label="a row of a database that all places reach", path="qcity_nb.kinds.leases.store:KIND", needs="psycopg"),
        "huggingface": Kind(label="a branch of a dataset", path="qcity_nb.kinds.leases.huggingface:KIND", support=2, needs="a token"),
    },
    "notifiers": {
        "webhook": Kind(label="an HTTP POST, as chat services take it", path="qcity_nb.kinds.notifiers.webhook:KIND"),
        "smtp": Kind(label="a mail", path="qcity_nb.kinds.notifiers.smtp:KIND"),
    },
    "places": {
        "here": Kind(label="this machine", path="qcity_nb.kinds.places.here:KIND"),
        "shared": Kind(label="another machine that shares the store", path="qcity_nb.kinds.places.shared:KIND", needs="a shared store"),
        "ssh": Kind(label="a host over SSH: installed and started there", path="qcity_nb.kinds.places.ssh:KIND", needs="asyncssh, a key"),
        "colab": Kind(label="a fresh, paid Colab by Google's CLI", path="qcity_nb.kinds.places.colab:KIND", support=2, needs="google-colab-cli"),
        "huggingface": Kind(label="a Hugging Face job", path="qcity_nb.kinds.places.huggingface:KIND", support=2, needs="a token"),
    },
    "executors": {
        "dask": Kind(label="a Dask cluster, of our own or one that stands", path="qcity_nb.kinds.notebooks.cluster:Cluster", needs="distributed"),
        "place": Kind(label="a place that was added", path="qcity_nb.kinds.notebooks.elsewhere:Elsewhere"),
    },
    "sandboxes": {
        "bubblewrap": Kind(label="own uid, namespaces, read-only system", path="qcity_nb.kinds.sandboxes.bubblewrap:KIND", needs="bwrap"),
        "ownuid": Kind(label="own uid and limits, for root without namespaces", path="qcity_nb.kinds.sandboxes.ownuid:KIND"),
        "bare": Kind(label="limits and a clean environment only", path="qcity_nb.kinds.sandboxes.bare:KIND"),
    },
}


def load(family: str, name: str) -> Any:
    """The kind's object, loaded now.

    Raises:
        BadInput: there is no such kind; the sentence lists those there are.
    """
    try:
        kind = KINDS[family][name]
    except KeyError:
        raise BadInput(f'there is no kind "{name}" of {family}', f"there are: {', '.join(KINDS.get(family, {}))}") from None
    module, _, attribute = kind.path.partition(":")
    return getattr(importlib.import_module(module), attribute)
