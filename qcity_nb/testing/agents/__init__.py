"""Scripted stand-ins of the official agents, as real processes.

GitHub's Runner.Listener and Runner.Worker, GitLab's gitlab-runner, and the loops that are put around them.
"""

from __future__ import annotations

from .package import GITLAB_VERSION, VERSION, Evil, archive, gitlab_release, gitlab_runner, install

__all__ = ["GITLAB_VERSION", "VERSION", "Evil", "archive", "gitlab_release", "gitlab_runner", "install"]
