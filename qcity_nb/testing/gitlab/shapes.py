"""What GitLab's objects look like as JSON: state in, plain data out."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from .state import Group, Job, Merge, Pipeline, Project, Runner, State, System

_INFO = ("version", "revision", "platform", "architecture")


def sha(*parts: object) -> str:
    """A name of forty digits for some content."""
    return hashlib.sha1("\0".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def when(moment: datetime | None) -> str | None:
    """A moment with milliseconds, or null."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def user(state: State) -> dict[str, Any]:
    """The one user."""
    return {"id": 1, "username": "root", "name": "Administrator", "state": "active", "avatar_url": None, "web_url": f"{state.root()}/root"}


def project(state: State, one: Project) -> dict[str, Any]:
    """A project."""
    space, _, name = one.path.rpartition("/")
    shape: dict[str, Any] = {"id": one.id, "name": name, "path": name, "path_with_namespace": one.path, "name_with_namespace": one.path}
    shape |= {"description": None, "default_branch": one.default_branch, "visibility": "private", "created_at": when(one.created)}
    shape |= {"web_url": f"{state.root()}/{one.path}", "http_url_to_repo": f"{state.root()}/{one.path}.git", "archived": False}
    group = next((known for known in state.groups.values() if known.path == space), None)
    space_shape = {"id": group.id if group else 1, "name": space, "path": space, "kind": "group" if group else "user", "full_path": space}
    return {**shape, "namespace": space_shape, "runners_token": one.registration_token, "shared_runners_enabled": True}


def group(state: State, one: Group) -> dict[str, Any]:
    """A group."""
    name = one.path.rpartition("/")[2]
    shape = {"id": one.id, "name": name, "path": name, "full_path": one.path, "visibility": "private", "parent_id": None}
    return {**shape, "web_url": f"{state.root()}/groups/{one.path}", "runners_token": one.registration_token}


def runner(state: State, one: Runner) -> dict[str, Any]:
    """A runner as it stands in lists."""
    busy = any(job.runner == one.id and job.status in {"running", "canceling"} for job in state.jobs.values())
    status = state.status(one.contacted)
    shape: dict[str, Any] = {"id": one.id, "description": one.description, "ip_address": "127.0.0.1", "active": not one.paused, "paused": one.paused}
    shape |= {"is_shared": one.kind == "instance_type", "runner_type": one.kind, "name": one.info.get("name"), "created_by": user(state)}
    online = None if one.contacted is None else status == "online"
    return {**shape, "online": online, "status": status, "created_at": when(one.created), "job_execution_status": "active" if busy else "idle"}


def runner_details(state: State, one: Runner) -> dict[str, Any]:
    """A runner alone."""
    shape = runner(state, one) | {"tag_list": one.tags, "run_untagged": one.run_untagged, "locked": one.locked, "maintenance_note": one.note}
    shape |= {"maximum_timeout": one.maximum_timeout, "access_level": one.access_level, "contacted_at": when(one.contacted)}
    shape |= {key: one.info.get(key, "") for key in _INFO}
    shape |= {"projects": [project(state, state.projects[number]) for number in one.projects]}
    shape |= {"groups": [] if one.group is None else [group(state, state.groups[one.group])]}
    return shape | {"token_expires_at": when(one.token_expires)}


def registered(one: Runner) -> dict[str, Any]:
    """What a new runner is told, and one that is verified."""
    return {"id": one.id, "token": one.token, "token_expires_at": when(one.token_expires)}


def manager(state: State, one: System) -> dict[str, Any]:
    """A manager of a runner."""
    shape = {"id": one.id, "system_id": one.system_id, "created_at": when(one.created), "contacted_at": when(one.contacted)}
    return {**shape, **{key: one.info.get(key, "") for key in _INFO}, "ip_address": "127.0.0.1", "status": state.status(one.contacted)}


def pipeline(state: State, one: Pipeline) -> dict[str, Any]:
    """A pipeline."""
    web = f"{state.root()}/{state.projects[one.project].path}/-/pipelines/{one.id}"
    shape = {"id": one.id, "iid": one.number, "project_id": one.project, "sha": one.sha, "ref": one.ref, "source": one.source}
    return {**shape, "status": state.status_of(one), "created_at": when(one.created), "updated_at": when(one.created), "web_url": web}


def merge(state: State, at: Project, one: Merge) -> dict[str, Any]:
    """A merge request."""
    web, done = f"{state.root()}/{at.path}/-/merge_requests/{one.number}", when(state.now()) if one.state == "merged" else None
    shape: dict[str, Any] = {"id": one.id, "iid": one.number, "project_id": at.id, "title": one.title, "description": one.description, "web_url": web}
    shape |= {"state": one.state, "source_branch": one.source, "target_branch": one.target, "author": user(state), "draft": False, "labels": []}
    shape |= {"source_project_id": at.id, "target_project_id": at.id, "sha": at.refs.get(f"refs/heads/{one.source}"), "merged_at": done}
    shape |= {"created_at": when(one.created), "updated_at": when(one.created), "detailed_merge_status": "mergeable", "has_conflicts": False}
    return {**shape, "references": {"short": f"!{one.number}", "relative": f"!{one.number}", "full": f"{at.path}!{one.number}"}}


def job(state: State, one: Job) -> dict[str, Any]:
    """A job."""
    of, at = state.pipelines[one.pipeline], state.projects[one.project]
    shape: dict[str, Any] = {"id": one.id, "name": one.name, "stage": one.stage, "status": one.status, "ref": of.ref, "tag": False, "coverage": None}
    shape |= {"allow_failure": one.allow_failure, "created_at": when(one.created), "started_at": when(one.started), "user": user(state)}
    shape |= {"finished_at": when(one.finished), "erased_at": None, "queued_duration": None, "duration": None, "tag_list": one.tags}
    if one.started is not None:
        shape["duration"] = ((one.finished or state.now()) - one.started).total_seconds()
        shape["queued_duration"] = (one.started - (one.queued or one.created)).total_seconds()
    shape |= {"commit": {"id": of.sha, "short_id": of.sha[:8], "title": "a change"}, "pipeline": pipeline(state, of)}
    shape |= {"web_url": f"{state.root()}/{at.path}/-/jobs/{one.id}", "project": {"ci_job_token_scope_enabled": False}, "artifacts": []}
    worker = state.runners.get(one.runner or 0)
    shape |= {"runner": None if worker is None else runner(state, worker), "runner_manager": None, "artifacts_expire_at": None}
    if worker is not None and one.system_id in worker.managers:
        shape["runner_manager"] = manager(state, worker.managers[one.system_id])
    if one.archive is not None:
        shape["artifacts_file"] = {"filename": one.archive[0], "size": len(one.archive[1])}
    return shape | ({"failure_reason": one.failure_reason} if one.failure_reason else {})


def work(state: State, one: Job) -> dict[str, Any]:
    """What a runner is told that takes a job."""
    of, at = state.pipelines[one.pipeline], state.projects[one.project]
    url = one.repo_url or f"{state.root()}/{at.path}.git"
    known = {"CI": "true", "GITLAB_CI": "true", "CI_JOB_ID": str(one.id), "CI_JOB_NAME": one.name, "CI_PROJECT_PATH": at.path}
    known["CI_SERVER_URL"] = state.root()
    known |= {"CI_COMMIT_SHA": of.sha, "CI_COMMIT_REF_NAME": of.ref, "CI_CONFIG_PATH": ".gitlab-ci.yml", "CI_PIPELINE_ID": str(of.id)}
    variables = [{"key": key, "value": value, "public": True, "masked": False} for key, value in {**known, **one.variables}.items()]
    info = {"id": one.id, "name": one.name, "stage": one.stage, "project_id": at.id, "project_name": at.path.rpartition("/")[2]}
    git = {"repo_url": url, "ref": of.ref, "sha": of.sha, "before_sha": "0" * 40, "ref_type": "branch", "refspecs": [], "depth": 0}
    step = {"timeout": one.timeout, "allow_failure": False}
    steps = [{"name": "script", "script": one.script, "when": "on_success", **step}]
    if one.after_script:
        steps.append({"name": "after_script", "script": one.after_script, "when": "always", **step, "allow_failure": True})
    features = {"trace_sections": True, "failure_reasons": ["unknown_failure", "script_failure", "runner_system_failure", "job_execution_timeout"]}
    shape: dict[str, Any] = {"id": one.id, "token": one.token, "allow_git_fetch": True, "job_info": info, "git_info": git, "variables": variables}
    shape |= {"runner_info": {"timeout": one.timeout, "runner_session_url": None}, "steps": steps, "services": [], "features": features}
    shape |= {"image": {"name": one.image} if one.image else None, "artifacts": one.artifacts or None, "cache": [], "credentials": []}
    return {**shape, "dependencies": []}
