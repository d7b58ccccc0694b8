"""A stateful stand-in of GitHub over loopback HTTP, for tests of whatever talks to GitHub: clients, runners, supervisors."""

from __future__ import annotations

from .hub import Checksum, FakeGitHub
from .state import Group, Job, Repo, Rules, Run, Runner

__all__ = ["Checksum", "FakeGitHub", "Group", "Job", "Repo", "Rules", "Run", "Runner"]
