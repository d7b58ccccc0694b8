"""The documented JSON shapes of links and of checks before a deployment; they belong to `schema.json` as all shapes do."""

from __future__ import annotations

from collections.abc import Iterable

from ..model.link import Change, FileChange, Remark
from ..model.linkcheck import Verdict
from ..model.tunnel import Binding
from ..store.tunnels import FollowerRow
from .linkchecks import CheckReport
from .links import Rewritten
from .predeploy import PreDeploy
from .shapes import Shape, moment


def bindings(rows: Iterable[FollowerRow]) -> Shape:
    """`qcity links list --json`."""
    return {
        "bindings": [
            {
                "tunnel": row.tunnel,
                "root": row.follower.root,
                "patterns": list(row.follower.patterns),
                "commit": row.follower.commit,
                "at": moment(row.at),
                "last": None if row.last is None else {"ok": row.last.ok, "text": row.last.text, "todo": row.last.todo, "address": row.last.address},
            }
            for row in rows
            if isinstance(row.follower, Binding)
        ]
    }


def rewritten(found: Iterable[Rewritten]) -> Shape:
    """`qcity links sync|replace|rollback --json`."""
    return {
        "changes": [
            {
                "number": one.report.number or None,
                "new": one.new,
                "would": one.would,
                "sentence": one.sentence(),
                "links": one.links,
                "sha": one.report.sha,
                "proposal": one.report.proposal or None,
                "took_s": round(one.report.took, 4),
                "files": [_file(file) for file in one.report.files],
                "left_alone": [_remark(remark) for remark in one.report.remarks],
            }
            for one in found
        ]
    }


def log(changes: Iterable[Change]) -> Shape:
    """`qcity links log --json`."""
    return {
        "log": [
            {
                "number": one.number,
                "at": moment(one.at),
                "tunnel": one.tunnel,
                "new": one.new,
                "why": one.why,
                "actor": one.actor,
                "root": one.root,
                "state": one.state,
                "commit": one.commit,
                "sha": one.sha,
                "proposal": one.proposal or None,
                "undoes": one.undoes or None,
                "links": one.links,
                "files": [_file(file) for file in one.files],
            }
            for one in changes
        ]
    }


def checked(report: CheckReport) -> Shape:
    """`qcity links check --json`."""
    return {
        "ok": report.ok,
        "sentence": report.sentence(),
        "files": report.files,
        "skipped": report.skipped,
        "looked": report.looked,
        "good": len(report.of(Verdict.OK)),
        "broken": len(report.of(Verdict.BROKEN)),
        "unknown": len(report.of(Verdict.UNKNOWN)),
        "links": [
            {
                "path": one.spot.path,
                "line": one.spot.line,
                "url": one.spot.url,
                "verdict": one.verdict.value,
                "why": one.why,
                "todo": one.todo,
                "tunnel": one.tunnel or None,
                "new": one.new or None,
                "picture": one.shot or None,
            }
            for one in report.checked
        ],
    }


def pre_deploy(found: PreDeploy) -> Shape:
    """`qcity check --pre-deploy --json`."""
    return {
        "ok": found.ok,
        "sentence": found.sentence(),
        "checks": [
            {"kind": one.kind, "name": one.name, "verdict": one.verdict.value, "sentence": one.text, "todo": one.todo} for one in found.checks
        ],
    }


def _file(one: FileChange) -> Shape:
    edits = [{"start": edit.start, "end": edit.end, "old": edit.old, "new": edit.new} for edit in one.edits]
    return {"path": one.path, "before": one.before, "after": one.after, "edits": edits}


def _remark(one: Remark) -> Shape:
    return {"path": one.path, "line": one.line or None, "text": one.text, "why": one.why}
