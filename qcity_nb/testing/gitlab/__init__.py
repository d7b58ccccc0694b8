"""A stateful stand-in of GitLab over loopback HTTP, for tests of whatever talks to GitLab: clients, runners, supervisors."""

from __future__ import annotations

from .hub import FakeGitLab
from .state import Group, Job, Merge, Pipeline, Project, Rules, Runner, System

__all__ = ["FakeGitLab", "Group", "Job", "Merge", "Pipeline", "Project", "Rules", "Runner", "System"]
