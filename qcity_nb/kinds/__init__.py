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
        "tunnel": Kind(label="one tunnel; started by the engine when it is opened", path="qcity_nb.kinds.tunnels.service:KIND"),
        "notebooks": Kind(
            label="runs notebooks; started by the engine", path="qcity_nb.kinds.notebooks.service:KIND", needs="papermill, nbclient, ipykernel"
        ),
    },
    "tunnels": {
        "ngrok": Kind(label="ngrok's agent, by pyngrok", path="qcity_nb.kinds.tunnels.ngrok:KIND", support=2, needs="pyngrok, ngrok, a token"),
        "cloudflared": Kind(label="a quick tunnel of Cloudflare's", path="qcity_nb.kinds.tunnels.cloudflared:KIND", support=2, needs="cloudflared"),
        "localtunnel": Kind(label="a localtunnel server, public or your own", path="qcity_nb.kinds.tunnels.localtunnel:KIND"),
        "ssh": Kind(label="a server of one's own, over SSH", path="qcity_nb.kinds.tunnels.ssh:SSH", needs="asyncssh, a key"),
        "localhost.run": Kind(label="localhost.run, over SSH", path="qcity_nb.kinds.tunnels.ssh:LOCALHOST_RUN", support=2, needs="asyncssh"),
        "pinggy": Kind(label="pinggy, over SSH", path="qcity_nb.kinds.tunnels.ssh:PINGGY", support=2, needs="asyncssh"),
        "serveo": Kind(label="serveo, over SSH", path="qcity_nb.kinds.tunnels.ssh:SERVEO", support=2, needs="asyncssh"),
        "ngrok-ssh": Kind(label="ngrok, over SSH", path="qcity_nb.kinds.tunnels.ssh:NGROK_SSH", support=2, needs="asyncssh, a key known to ngrok"),
        "colab": Kind(label="the notebook's own proxy on Colab", path="qcity_nb.kinds.tunnels.colab:KIND", support=2),
        "jupyter": Kind(label="a Jupyter server's own proxy", path="qcity_nb.kinds.tunnels.jupyter:KIND", needs="jupyter-server-proxy"),
        "domain": Kind(label="a domain that a person owns, while it is well", path="qcity_nb.kinds.tunnels.domain:KIND"),
        "static": Kind(label="the fallback page", path="qcity_nb.kinds.tunnels.static:KIND"),
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
    "dns": {
        "rfc2136": Kind(label="any name server that takes dynamic updates", path="qcity_nb.kinds.dns.rfc2136:KIND", needs="dnspython, a TSIG key"),
        "cloudflare": Kind(label="a zone at Cloudflare", path="qcity_nb.kinds.dns.cloudflare:KIND", support=2, needs="a token"),
        "duckdns": Kind(label="a name at DuckDNS", path="qcity_nb.kinds.dns.duckdns:KIND", support=2, needs="dnspython, a token"),
        "lexicon": Kind(label="some 90 other DNS services", path="qcity_nb.kinds.dns.lexicon:KIND", support=2, needs="dns-lexicon"),
        "freenom": Kind(label="ended in 2024: says so, and what to use", path="qcity_nb.kinds.dns.freenom:KIND"),
    },
    "pages": {
        "folder": Kind(label="a folder that a web server shows", path="qcity_nb.kinds.pages.folder:KIND"),
        "git": Kind(label="a branch, as of GitHub and GitLab Pages", path="qcity_nb.kinds.pages.git:KIND", needs="git"),
        "huggingface": Kind(label="a static Space", path="qcity_nb.kinds.pages.huggingface:KIND", support=2, needs="a token"),
    },
    "vaults": {
        "folder": Kind(label="a folder: a mounted Drive, another disk", path="qcity_nb.kinds.vaults.folder:KIND"),
        "git": Kind(label="a branch of any git remote", path="qcity_nb.kinds.vaults.git:KIND", needs="git, cryptography"),
        "dagshub": Kind(label="a branch at DagsHub", path="qcity_nb.kinds.vaults.git:DAGSHUB_KIND", support=2, needs="git, cryptography, a token"),
        "huggingface": Kind(label="a dataset", path="qcity_nb.kinds.vaults.huggingface:KIND", support=2, needs="cryptography, a token"),
        "fsspec": Kind(label="S3 and others, by URL", path="qcity_nb.kinds.vaults.fsspec:KIND", support=2, needs="fsspec, cryptography"),
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
