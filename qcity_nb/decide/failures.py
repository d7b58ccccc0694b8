"""The catalogue of what goes wrong with agents of forges: each row is evidence, cause, act, proof. `decide.repair` decides.

Rows stand in the order in which they are believed: what blinds us (clock, network, token) comes before what it would make us misread.
Sources: the numbers are those of the project's failure research, drawn from public issues of actions/runner, ARC, GARM, gitlab-runner and others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..model.agent import Act, Evidence, Finding, Reach, Trust
from . import symptoms as see
from .wording import count, size, span

Lines = Sequence[str]


@dataclass(frozen=True)
class Row:
    """One row, in the order of the table's columns.

    `holds` gives the lines that show it, none when it does not hold; `second` is the independent proof that `Trust.VERIFIED` asks for.
    """

    code: str
    trust: Trust
    act: Act
    title: str
    cause: str
    holds: Callable[[Evidence], Lines]
    second: Callable[[Evidence], bool] = lambda _: True
    todo: str = ""
    dead: bool = False  # the job it seems to have is proven dead: being busy does not protect it
    proof: Callable[[Evidence], str] = see.listens


A, V, H = Trust.AUTO, Trust.VERIFIED, Trust.HUMAN

ROWS: tuple[Row, ...] = (
    # what blinds us
    Row("F23", A, Act.SLOW, "asked for patience", "its platform limits our calls",
        see.limited,
        proof=lambda e: "its platform answers again" if e.reach is Reach.FINE else ""),
    Row("F22", H, Act.HOLD, "token refused", "the token has expired or may not do this",
        see.denied,
        todo="Give a token with the permission that is named in QCITY_{FORGE}_TOKEN, then qcity runner start {name}",
        proof=lambda e: "the API takes the token again" if e.reach is Reach.FINE else ""),
    Row("F7", A, Act.WAIT_CLOCK, "clock is off", "this machine's clock is off, which its platform takes for a deleted registration",
        lambda e: [*see.clock_off(e), *see.gone(e)] if see.skewed(e) and see.gone(e) else (),
        todo="Set the clock (timedatectl set-ntp true); nothing was registered again"),
    Row("F8", A, Act.WAIT_CLOCK, "clock is off", "this machine's clock is off",
        see.mistimed,
        todo="Set the clock (timedatectl set-ntp true)", proof=lambda e: "the clock agrees with the platform's" if see.well_clocked(e) else ""),
    Row("F30", A, Act.RETRY, "cannot connect", "the network path to its platform is broken",
        lambda e: see.lines_if(e.path, f"the path fails at {e.path}", *see.said(e, "connect_error")),
        todo="qcity doctor names the layer; nothing is restarted while the path is broken",
        proof=lambda e: "the path to its platform works again" if not e.path and e.reach is Reach.FINE else ""),
    # what a person has to settle
    Row("F31", H, Act.HOLD, "cannot start here", "the machine lacks what the agent needs, or it runs as root without leave",
        lambda e: see.said(e, "sudo", "dependencies"),
        todo="sudo {root}/bin/installdependencies.sh, or for root --allow-root, then qcity runner start {name}"),
    Row("F38", H, Act.HOLD, "shell profile breaks jobs", "a profile script of the user breaks the environment of jobs",
        lambda e: see.said(e, "gl_prepare"), proof=see.prepared,
        todo="mv ~/.bash_logout ~/.bash_logout.off (or the file that the line names); the next job shows whether it helped"),
    Row("F39", A, Act.HOLD, "second agent on one configuration", "another gitlab-runner uses the same configuration",
        lambda e: see.lines_if(e.forge == "gitlab" and e.twin is not None and not e.alive, f"process {e.twin} holds it"),
        todo="kill {twin} (or stop the service it belongs to), then qcity runner start {name}",
        proof=lambda e: "the other one is gone" if e.twin is None else ""),
    # the registration
    Row("F35", V, Act.REGISTER, "runner token no longer valid", "GitLab does not know the runner's token any more",
        lambda e: [*see.said(e, "gl_forbidden"), *see.said(e, "gl_unhealthy")], second=lambda e: see.refusal(e, "verify: forbidden")),
    Row("F5", A, Act.RESESSION, "session taken", "an old session of the same runner still counts as alive",
        see.session_taken, todo="qcity runner show {name}: a second copy of it runs somewhere; stop that one, then qcity runner start {name}"),
    Row("F33", V, Act.RENAME, "copied machine", "its folder was copied from another machine, and both use one registration",
        lambda e: see.lines_if(e.fingerprint_differs, "its folder was made on another machine"),
        second=lambda e: e.remote is not None and not e.alive),
    Row("F6", V, Act.REGISTER, "registration gone", "its platform has deleted the registration",
        see.gone, second=lambda e: e.absent and see.well_clocked(e)),
    Row("F24", A, Act.RESTART, "already configured", "an earlier registration's files are in its folder",
        lambda e: see.said(e, "already_configured")),
    Row("F27", A, Act.REGISTER, "ephemeral runner left behind", "it was ended before its job; only its remote half is left",
        see.left_behind),
    Row("F28", A, Act.RENAME, "name not free yet", "its platform has not let go of the name yet",
        lambda e: see.lines_if(see.refusal(e, "register: conflict"), "the platform says that the name exists")),
    Row("F21", A, Act.RETRY, "cannot register", "the registration token is too old, or there is nothing at this address that it may see",
        see.unregistered,
        todo="Check owner/name and what the token may do, then qcity runner start {name}"),
    Row("F25", A, Act.RETRY, "cannot be deleted yet", "its platform believes that it is busy",
        lambda e: see.lines_if(see.refusal(e, "delete: busy"), f"the platform refused to delete it {count(max(e.refusals, 1), 'time')}: busy"),
        proof=lambda e: "its platform has let go of it" if e.absent else ""),
    Row("F26", V, Act.DELETE, "registrations nobody uses", "earlier lives of our runners were never deleted",
        see.unused,
        proof=lambda e: "" if e.twins_offline else "its platform lists none of them any more"),
    Row("F29", A, Act.KEEP_ALIVE, "about to be forgotten", "its platform deletes runners that it has not seen for 14 days",
        lambda e: see.lines_if(not e.alive and see.offline(e) and see.parked(e), f"it was last online {span(e.unseen)} ago")),
    # the version
    Row("F10", A, Act.INSTALL, "version refused", "its platform no longer talks to this version",
        lambda e: see.said(e, "version_deprecated") or see.lines_if(see.ended_with(e, 7), "it ended with code 7")),
    Row("F9", A, Act.INSTALL, "update failed", "an update was left half done",
        see.half_updated),
    Row("F11", A, Act.RESTART, "ended for an update", "it updated itself and nothing started it again",
        see.spent),
    # the machine
    Row("F14", A, Act.PURGE, "disk full", "the disk below its work folder is full",
        see.disk, proof=lambda e: "" if see.disk(e) else f"{size(e.free_disk)} are free again"),
    Row("F15", A, Act.PURGE, "no inodes", "the file system has no room for more files",
        see.no_inodes,
        proof=lambda e: "" if see.no_inodes(e) else "there is room for files again"),
    Row("F16", A, Act.OWN, "files of another user", "a container left files in the work folder that the runner cannot delete",
        lambda e: [*see.lines_if(e.not_ours, *e.not_ours[:3]), *see.said(e, "not_owned")],
        proof=lambda e: "" if e.not_ours else "the work folder is the runner's own"),
    Row("F17", A, Act.REAP, "processes left over", "the last job left processes running",
        lambda e: see.lines_if(e.orphans and not e.worker, f"{count(e.orphans, 'process', 'processes')} of the last job still run"),
        proof=lambda e: "" if e.orphans else "none of them lives"),
    Row("F13", A, Act.LIMIT, "starved", "its job took all of the processor, and the listener was not heard any more",
        see.starved, proof=lambda e: "" if see.starved(e) else "the listener is heard beside its job"),
    Row("F41", A, Act.RENEW, "canary failed", "its canary failed twice: a small job of ours that no test of anybody can break",
        lambda e: see.lines_if(e.alive and e.canary_failures >= see.CANARIES, f"{count(e.canary_failures, 'canary', 'canaries')} failed: {e.canary}"),
        todo="Mend what the line names; its canary is tried again by qcity runner start",
        proof=lambda e: f"its canary passes, and {see.listens(e)}" if not e.canary_failures and see.listens(e) else ""),
    # the job
    Row("F34", A, Act.RERUN, "infrastructure, not the test", "the runner was lost under the job; no step of it failed",
        see.lost_job, proof=lambda e: "its platform has queued the job again" if e.job is not None and e.job.attempt > 1 else ""),
    Row("F37", V, Act.RERUN, "job without a runner", "GitLab shows a job as running, and what ran it is gone",
        lambda e: see.lines_if(e.forge == "gitlab" and see.phantom(e) and (e.lost or not e.alive),
                                "GitLab shows its job as running", "what ran it is gone"),
        second=lambda e: e.worker is not True, dead=True, proof=lambda _: ""),
    Row("F19", A, Act.RESTART, "worker never answered", "its worker did not take the job within 30 seconds",
        lambda e: see.said(e, "worker_hung"), dead=True),
    Row("F18", V, Act.RESTART, "worker gone", "the process that ran its job has ended without a result",
        see.crashed_worker, second=lambda e: e.worker is False and (e.remote is None or e.remote.busy or e.worker_code is not None), dead=True),
    Row("F20", H, Act.HOLD, "job hangs", "its job has stopped working and does not end",
        see.hung, todo="If it is stuck: {cancel}", proof=see.unhung),
    # the listener
    Row("F4", V, Act.RESTART, "goes in circles", "it is sent from broker to broker and never gets a job",
        lambda e: see.lines_if(e.alive and not see.working(e), *see.repeats(e, "broker_migration", 4)),
        second=lambda e: see.offline(e) or e.waiting is not None),
    Row("F2", V, Act.RESTART, "busy with nothing", "its platform believes that it has a job, and it has none",
        see.ghost, second=lambda e: e.silence >= see.BUSY_SILENCE, dead=True),
    Row("F1", V, Act.RESTART, "alive but silent", "it waits for an answer that never comes (a call without a timeout)",
        see.silent, second=lambda e: e.connected is not True or e.waiting is not None or e.silence >= see.IDLE_SILENCE),
    Row("F3", V, Act.RESTART, "does not ask for jobs", "it has stopped asking for jobs after its last one",
        see.unpolled, second=lambda e: not e.unmatched and (see.last(e) in ("new_status", "completed", "gl_over") or e.silence >= see.UNPOLLED)),
    Row("F30b", V, Act.RESTART, "keeps reconnecting", "it keeps reconnecting although the path to its platform works",
        see.reconnecting,
        second=see.offline),
    Row("F36", A, Act.RELOAD, "jobs come late", "`concurrent` is smaller than the number of runners, so one waits for the other's long poll",
        lambda e: see.said(e, "gl_long_polling"),
        proof=lambda e: "its configuration was read again" if e.alive and not see.said(e, "gl_long_polling") else ""),
    Row("F32", H, Act.HOLD, "no runner has these labels", "a job asks for labels that no runner of the scope has",
        lambda e: see.lines_if(e.unmatched, f"a job waits for: {', '.join(e.unmatched)}"),
        todo="qcity runner labels {name} {missing}, beside the labels it has; qcity runner plan shows them",
        proof=lambda e: "" if e.unmatched else "no job waits for labels that no runner has"),
    # it ended, and nothing above says why
    Row("F12", A, Act.RESTART, "killed", "it was killed from outside, most often because memory ran out",
        see.killed),
    Row("F40", A, Act.RESTART, "found gone", "the machine or the runtime was restarted under it",
        see.found_gone),
)


BY_CODE = {row.code: row for row in ROWS}


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """Every row that holds, the one to believe first at the front."""
    found = []
    for row in ROWS:
        if lines := row.holds(evidence):
            found.append(
                Finding(code=row.code, cause=row.cause, act=row.act, trust=row.trust, evidence=tuple(lines), todo=todo(row.code, evidence))
            )
    return tuple(found)


def todo(code: str, e: Evidence) -> str:
    """What a person does next about a row, as a command where there is one."""
    run, number = (e.job.run, e.job.id) if e.job else ("RUN", "JOB")
    cancel = f"glab ci cancel job {number}" if e.forge == "gitlab" else f"gh run cancel {run} --repo {e.scope}"
    known = {"name": e.name, "root": e.root, "twin": e.twin, "missing": " ".join(e.unmatched), "cancel": cancel, "FORGE": e.forge.upper()}
    return BY_CODE[code].todo.format(**known)


def proven(code: str, evidence: Evidence) -> str:
    """How it is known that the repair of this row worked; empty while it is not."""
    return BY_CODE[code].proof(evidence)


def codes(found: Iterable[Finding]) -> list[str]:
    """The codes of findings, for people and tests."""
    return [finding.code for finding in found]
