"""The IPython kernel with room for all that it prints. Run instead of `ipykernel_launcher`, or called in a child of the zygote."""

from __future__ import annotations

import sys
from typing import Any


def main(argv: list[str] | None = None) -> None:
    """Be a kernel until it is told to end."""
    import zmq
    from ipykernel.kernelapp import IPKernelApp

    class Kernel(IPKernelApp):
        """ipykernel drops what a slow reader has not fetched."""

        def _bind_socket(self, socket: Any, port: int) -> Any:
            if socket.socket_type in (zmq.PUB, zmq.XPUB):
                socket.setsockopt(zmq.SNDHWM, 0)
            return super()._bind_socket(socket, port)

        def log_connection_info(self) -> None:
            """Nobody is to connect by hand."""

    Kernel.launch_instance(argv=argv)


if __name__ == "__main__":
    if sys.path[0] == "":
        del sys.path[0]
    main()
