"""A Jupyter server's own proxy (jupyter-server-proxy), on a Hub, Binder, or one's own: for whoever may use that server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ...decide import providers
from ...errors import TunnelError
from ...model.tunnel import Fault, Reach
from ...ports import Target
from .given import Given
from .proof import ask


class Jupyter:
    """A Jupyter server's own proxy (jupyter-server-proxy), on a Hub, Binder, or one's own: for whoever may use that server."""

    secrets: tuple[str, ...] = ()

    def check(self, options: Mapping[str, str]) -> None:
        """Options: `url` (the server's address as people have it), `server` (as this machine has it, where several run)."""
        providers.known_options("jupyter", options, ("url", "server"))

    async def open(self, target: Target) -> Given:
        """`proxy/PORT` of a server of ours that runs here."""
        server, token = await asyncio.to_thread(_server, target.options.get("server", ""))
        inner = f"{server}proxy/{target.port}"
        headers = {"Authorization": f"token {token}"} if token else {}
        public = target.options.get("url") or server

        def prove(answer: Callable[[str], str], patience: float) -> float:
            try:
                return ask(inner, answer, headers=headers, patience=patience)
            except TunnelError as error:
                if error.fault is Fault.WRONG_APP and "404" in error.what:
                    what = f"the Jupyter server {server} has no proxy"
                    raise TunnelError(what, 'pip install "jupyter-server-proxy" beside it, and start it anew', fault=Fault.MISSING) from None
                raise

        return Given(f"{public.rstrip('/')}/proxy/{target.port}", reach=Reach.ACCOUNT, every=5, prove=prove)


def _server(asked: str) -> tuple[str, str]:
    """A Jupyter server of this user that runs on this machine: its address with a slash at the end, and its token."""
    try:
        from jupyter_server.serverapp import list_running_servers
    except ImportError:
        raise TunnelError("no Jupyter server is installed here", 'pip install "qcity-nb[notebook]"', fault=Fault.MISSING) from None
    found = [one for one in list_running_servers() if not asked or one["url"].rstrip("/") == asked.rstrip("/")]
    if not found:
        raise TunnelError("no Jupyter server of yours runs on this machine", "Start JupyterLab here, or name another provider", fault=Fault.MISSING)
    return str(found[0]["url"]), str(found[0].get("token", ""))


KIND = Jupyter()
