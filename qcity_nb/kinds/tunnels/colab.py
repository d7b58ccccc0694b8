"""Colab's own proxy: for whoever is signed in there, while the notebook is open in a browser. Only a kernel can ask for its address."""

from __future__ import annotations

from collections.abc import Mapping

from ...decide import providers
from ...errors import TunnelError
from ...model.tunnel import Fault, Reach
from ...ports import Target
from .given import Given
from .proof import ask


class Colab:
    """The notebook's own proxy on Colab: for whoever is signed in there, while the notebook is open. Only a kernel can ask for its address."""

    secrets: tuple[str, ...] = ()

    def check(self, options: Mapping[str, str]) -> None:
        """Options: `url`, as `google.colab.kernel.proxyPort` gave it in a kernel."""
        providers.known_options("colab", options, ("url",))

    async def open(self, target: Target) -> Given:
        """The address that the kernel was given. Only a signed-in browser can open it, so what is proved here is that our door is open."""
        url = target.options.get("url", "")
        if not url:
            todo = "Open the tunnel in a cell of a notebook that is open in a browser"
            raise TunnelError("only a kernel with a browser before it is given an address by Colab", todo, fault=Fault.MISSING)
        here = f"http://127.0.0.1:{target.port}"
        return Given(
            url.rstrip("/"), reach=Reach.ACCOUNT, every=30, prove=lambda answer, patience: ask(here, answer, headers={}, patience=patience)
        )


KIND = Colab()
