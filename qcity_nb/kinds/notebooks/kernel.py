"""The IPython kernel with room for all that it prints. Run instead of `ipykernel_launcher`, or called in a child of the zygote."""

from __future__ import annotations

import re
import sys
from typing import Any

_TRAIT = re.compile(r"--([A-Z]\w*)\.(\w+)=(.*)", re.DOTALL)


def main(argv: list[str] | None = None) -> None:
    """Be a kernel until it is told to end."""
    import zmq
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config
    from traitlets.config.loader import DeferredConfigString

    class Kernel(IPKernelApp):
        """ipykernel drops what a slow reader has not fetched."""

        def _bind_socket(self, socket: Any, port: int) -> Any:
            if socket.socket_type in (zmq.PUB, zmq.XPUB):
                socket.setsockopt(zmq.SNDHWM, 0)
            return super()._bind_socket(socket, port)

        def parse_command_line(self, argv: Any = None) -> None:
            """The forms that kernels are started with are read as they are: a parser of all options of all classes makes 1 MB of each its own."""
            given, config = list(sys.argv[1:] if argv is None else argv), Config()
            if given[:1] == ["-f"] and len(given) > 1:
                config.IPKernelApp.connection_file = given[1]
                given = given[2:]
            for told in given:
                found = _TRAIT.fullmatch(told)
                if found is None:
                    return super().parse_command_line(argv)
                config[found[1]][found[2]] = DeferredConfigString(found[3])
            self.cli_config = config
            return self.update_config(config)

        def log_connection_info(self) -> None:
            """Nobody is to connect by hand."""

    Kernel.launch_instance(argv=argv)


if __name__ == "__main__":
    if sys.path[0] == "":
        del sys.path[0]
    main()
