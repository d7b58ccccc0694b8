"""What can be seen on an agent: lines that say why a symptom is there, none when it is not. Pure; the table is `decide.failures`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ..model.agent import Evidence, Reach
from .wording import count, size, span

Lines = Sequence[str]

IDLE_SILENCE = timedelta(minutes=40)
"""An idle listener writes a line every 30 minutes."""
BUSY_SILENCE = timedelta(minutes=5)
"""A listener with a job writes a line every minute."""
WAITING_SILENCE = timedelta(seconds=90)
"""How long a silent listener may leave a job waiting that it could take."""
UNPOLLED = timedelta(minutes=3)
SKEW = timedelta(seconds=60)
LOST_WORKER = timedelta(minutes=10)
RECONNECTING = timedelta(minutes=10)
FREE_DISK, FREE_SHARE, FREE_INODES = 2 << 30, 0.05, 0.02
KEEP_ALIVE = timedelta(days=7)
CANARIES = 2
"""So many canaries that failed in a row are the runner's fault, not an accident."""
WORKER_CODES = range(100, 106)
IDLE_CPU, BUSY_CPU = 0.01, 0.5
"""The share of a core below which a job does nothing, and above which it may be what keeps others waiting, on a machine that has more to do."""


def listens(e: Evidence) -> str:
    """The proof of most repairs: the agent says that it listens, and its platform agrees if it could be asked."""
    said = any(clue.name in ("listening", "running", "completed", "gl_ready", "gl_received") for clue in e.clues)
    if not (e.alive and said) or (e.remote is not None and not e.remote.online):
        return ""
    seen = ", and its platform shows it online" if e.remote is not None else "; its platform could not be asked"
    return f"its log says that it listens{seen}"


def said(e: Evidence, *names: str) -> Lines:
    """The newest line that means one of these."""
    return [clue.line for clue in e.clues if clue.name in names][-1:]


def last(e: Evidence) -> str:
    """The name of the newest clue; empty when there is none."""
    return e.clues[-1].name if e.clues else ""


def offline(e: Evidence) -> bool:
    """Whether its platform lists it, as offline."""
    return e.remote is not None and not e.remote.online


def working(e: Evidence) -> bool:
    """Whether it has a job, as far as anybody can see."""
    return bool(e.worker) or (e.remote is not None and e.remote.busy)


def skewed(e: Evidence) -> bool:
    """Whether the clocks differ by more than the platforms forgive."""
    return e.skew is not None and abs(e.skew) >= SKEW


def gone(e: Evidence) -> Lines:
    """The signs that its registration is no more. That of an ephemeral agent ends with its job: nothing is wrong then."""
    lost = e.absent and not e.configured and not e.ephemeral
    return said(e, "registration_deleted", "no_longer_exists") or lines_if(lost, "its registration's files are gone")


def lines_if(condition: object, *lines: str) -> Lines:
    """The lines, if the condition holds."""
    return lines if condition else ()


def silent(e: Evidence) -> Lines:
    """Alive, and has said nothing for longer than it can."""
    if not e.alive or working(e) or not offline(e):
        return ()
    limit = WAITING_SILENCE if e.waiting is not None and e.waiting >= WAITING_SILENCE else IDLE_SILENCE
    waits = [f"a job that it could take has waited for {span(e.waiting)}"] if e.waiting else []
    silent = f"its process lives, its log has been silent for {span(e.silence)}"
    return [silent, "its platform shows it offline", *waits, *said(e, last(e))] if e.silence >= limit else ()


def ghost(e: Evidence) -> Lines:
    """Busy for its platform, and nothing works."""
    busy = e.alive and e.remote is not None and e.remote.busy and not e.lost  # a lost job keeps it busy for a while
    quiet = e.connected is False or (e.phantom is not None and e.phantom >= BUSY_SILENCE)
    lines = ("its platform shows it busy", "no worker process lives below it", f"its log has been silent for {span(e.silence)}")
    return lines_if(busy and e.worker is False and quiet and "running" not in open_job(e), *lines)


def open_job(e: Evidence) -> Lines:
    """Whether the log speaks of a job that has not ended."""
    names = [clue.name for clue in e.clues if clue.name in ("running", "completed", "gl_received", "gl_over")]
    return ["running"] if names and names[-1] in ("running", "gl_received") else []


def unpolled(e: Evidence) -> Lines:
    """Online and idle while a job waits for it."""
    idle = e.alive and e.remote is not None and e.remote.online and not working(e)
    waits = e.waiting is not None and e.waiting >= UNPOLLED and e.silence >= WAITING_SILENCE
    return lines_if(
        idle and waits, f"its platform shows it online and idle, and a job that it could take has waited for {span(e.waiting)}", *said(e, last(e))
    )


def repeats(e: Evidence, name: str, times: int) -> Lines:
    """The same clue so many times in a row."""
    tail = [clue for clue in e.clues[-times:] if clue.name == name]
    return [tail[-1].line] if len(tail) == times else ()


def crashed_worker(e: Evidence) -> Lines:
    """It has a job and nothing that runs it."""
    crashed = e.worker_code is not None and e.worker_code not in WORKER_CODES
    stuck = e.alive and bool(open_job(e)) and e.worker is False and (crashed or e.silence >= LOST_WORKER)
    how = f"its worker ended with code {e.worker_code}" if crashed else "no worker process lives below it"
    return lines_if(stuck, how, *said(e, "running"))


def killed(e: Evidence) -> Lines:
    """Its main process was killed outright."""
    how = e.ended
    killed = how is not None and (how.signal == 9 or how.code in (137, -9))
    return lines_if(killed, "it was killed by signal 9", *said(e, "lost_communication"))


def lost_job(e: Evidence) -> Lines:
    """A red job of which no step is red, and whose runner was lost."""
    job = e.job
    if job is None or job.status != "completed" or job.conclusion not in ("failure", "cancelled") or job.failed_step or job.attempt > 1:
        return ()
    [told] = said(e, "running") or [""]
    crashed = (e.worker_code is not None and e.worker_code not in WORKER_CODES) or bool(said(e, "lost_communication"))
    ended = e.ended is not None and (e.ended.signal is not None or not e.ended.known)
    under_it = e.lost or ended or (crashed and told.endswith(f"Running job: {job.name}"))
    return lines_if(under_it, f'its platform calls the job "{job.name}" {job.conclusion}, and no step of it failed', "its runner was lost under it")


def lost_under(e: Evidence) -> bool:
    """Whether it ended with a job under way that it will not answer for: by a signal or unseen, or because of the job's worker."""
    ended = e.ended is not None and (e.ended.signal is not None or not e.ended.known)
    crashed = e.worker_code is not None and e.worker_code not in WORKER_CODES
    return bool(open_job(e)) and (ended or crashed or bool(said(e, "worker_hung")))


def disk(e: Evidence) -> Lines:
    """The disk is full, or nearly."""
    low = (e.free_disk is not None and e.free_disk < FREE_DISK) or (e.free_disk_share is not None and e.free_disk_share < FREE_SHARE)
    return [*said(e, "disk_full"), *lines_if(low, f"{size(e.free_disk)} are free")]


def hung(e: Evidence) -> Lines:
    """Its job runs far longer than ever and does nothing."""
    slow = e.alive and e.worker and e.worst is not None and e.running_for is not None and e.running_for > 2 * e.worst
    return lines_if(
        slow and e.cpu is not None and e.cpu < IDLE_CPU,
        f"its job runs for {span(e.running_for)}, never before for more than {span(e.worst)}",
        "and uses no processor",
    )


def unhung(e: Evidence) -> str:
    """That its job does not hang any more: it is over, or it works."""
    if not working(e):
        return "its job is over"
    return "its job works again" if (e.cpu or 0.0) >= IDLE_CPU else ""


def prepared(e: Evidence) -> str:
    """That jobs have an environment again: one came to its end after the one that had none."""
    names = [clue.name for clue in e.clues]
    after = names[len(names) - names[::-1].index("gl_prepare") :] if "gl_prepare" in names else names
    return "a later job ran to its end" if "gl_over" in after else ""


def parked(e: Evidence) -> bool:
    """Whether its platform has not seen it for so long that it will forget it soon."""
    return e.unseen is not None and e.unseen >= KEEP_ALIVE


def refusal(e: Evidence, what: str) -> bool:
    """Whether this was what the platform refused last."""
    return e.refused == what


def ended_with(e: Evidence, *codes: int) -> bool:
    """Whether it ended with one of these codes."""
    return e.ended is not None and e.ended.code in codes


def spent(e: Evidence) -> Lines:
    """An update that ended the agent as if it were to stay down. The codes 3 and 4 ask for its start: that is no failure."""
    return lines_if(
        ended_with(e, 0) and said(e, "update_exit", "update_finished"),
        "it ended for its update, and nothing started it",
        *said(e, "update_finished", "update_exit"),
    )


def phantom(e: Evidence) -> bool:
    """Whether its platform believes that its job runs."""
    return e.job is not None and e.job.status in ("in_progress", "running")


def well_clocked(e: Evidence) -> bool:
    """Whether the clocks are known to agree."""
    return e.skew is not None and not skewed(e)


def reconnecting(e: Evidence) -> Lines:
    """It has tried to reconnect for a long time, although the path works."""
    first = next((clue for clue in e.clues if clue.name == "connect_error"), None)
    long = first is not None and first.at is not None and e.at - first.at >= RECONNECTING
    path_works = e.alive and not e.path and e.reach is Reach.FINE and not working(e)
    return said(e, "connect_error") if long and path_works and last(e) == "connect_error" else ()


def found_gone(e: Evidence) -> Lines:
    """The machine or the runtime ended under it."""
    unseen = not e.alive and e.configured and e.ended is not None and not e.ended.known
    return lines_if(unseen, "its files are there, its process is not, and nobody saw it end")


def limited(e: Evidence) -> Lines:
    """Its platform asks us for patience."""
    return lines_if(e.reach is Reach.LIMITED, e.reach_text or "the API asked us to wait")


def denied(e: Evidence) -> Lines:
    """Its platform refuses our token."""
    return [e.reach_text or "the API refuses the token", *lines_if(e.needed, f"it needs: {e.needed}")] if e.reach is Reach.DENIED else ()


def clock_off(e: Evidence) -> Lines:
    """By how much the clocks differ, when it is too much."""
    return lines_if(skewed(e), f"the clock differs by {span(abs(e.skew or SKEW))} from the platform's")


def mistimed(e: Evidence) -> Lines:
    """The clock keeps it from its platform: it ended for that, or cannot be seen there. One that is there is left alone."""
    if e.alive and not (offline(e) and skewed(e)):
        return ()
    return [*said(e, "clock"), *clock_off(e)]


def session_taken(e: Evidence) -> Lines:
    """Somebody else holds the session of its registration."""
    shown = said(e, "session_exists") or lines_if(ended_with(e, 5), "it ended with code 5")
    return [*shown, *lines_if(e.forge == "github" and e.twin, f"process {e.twin} uses the same registration")]


def left_behind(e: Evidence) -> Lines:
    """An ephemeral agent that was killed before its job: GitHub's listener cleans only its own side."""
    gone_here = e.ephemeral and not e.alive and not e.configured
    return lines_if(gone_here and offline(e), "its files are gone and its platform still lists it")


def unregistered(e: Evidence) -> Lines:
    """The registration was answered by NotFound."""
    return [*said(e, "register_not_found"), *lines_if(refusal(e, "register: not_found"), "the platform answered NotFound to the registration")]


def unused(e: Evidence) -> Lines:
    """Registrations of ours that no process belongs to any more."""
    return lines_if(e.twins_offline, f"{count(len(e.twins_offline), 'registration')} of ours, offline for more than 30 minutes, no process")


def half_updated(e: Evidence) -> Lines:
    """An update that failed, or did not change the version."""
    stuck = lines_if(e.same_version_starts >= 2, f"{e.same_version_starts} starts after an update, and still version {e.version}")
    return [*said(e, "update_failed"), *lines_if(e.update_failed, "an update left a .failed file"), *stuck]


def no_inodes(e: Evidence) -> Lines:
    """The file system can hold hardly any more files."""
    share = e.free_inodes_share
    return lines_if(share is not None and share < FREE_INODES, f"{100 * (share or 0):.1f} % of the inodes are free")


def starved(e: Evidence) -> Lines:
    """Its job took the processor that it needed to be heard."""
    full, lost = e.cpu is not None and e.cpu >= BUSY_CPU, said(e, "lost_communication")
    return [*lost, f"the job used {100 * (e.cpu or 0):.0f} % of the processor"] if full and lost else ()
