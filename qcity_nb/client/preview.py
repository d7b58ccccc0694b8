"""What a repository's workflow files ask for, before anything runs: what this machine has to leave out is said at once, not after the first commit.

Reads the files as they lie in the folder; the runner reads them from each commit. Whether a remote action is stored is only known there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import BadInput, Refused
from ..model.work import BuildPlan

LARGEST = 1 << 20
FOLDER = Path(".github") / "workflows"


def look_over(folder: Path, *, say: Callable[[str], None], strict: bool) -> tuple[str, ...]:
    """Say which jobs are left out and why, and which files cannot be used; what is wrong with those is returned.

    Raises:
        Refused: `strict`, and there is something to say.
    """
    said: list[str] = []
    unusable: list[str] = []
    ran = 0
    for plan in plans(folder):
        if plan.problem:
            unusable.append(plan.problem)
        said += [job.refusal for job in plan.jobs if job.refusal]
        ran += sum(not job.refusal for job in plan.jobs)
    said = unusable + said
    if not said:
        return ()
    if strict:
        raise Refused("\n".join(said), "Nothing was started, because of --strict; qcity doctor says what is missing")
    rest = {0: "No job is left.", 1: "The other job runs."}.get(ran, f"The other {ran} jobs run.")
    say("\n".join(said) + f"\nLeft out. {rest} (qcity up --strict refuses instead; qcity doctor says what is missing)")
    return tuple(unusable)


def plans(folder: Path) -> Iterator[BuildPlan]:
    """What each workflow file that answers to a push of the current branch asks for."""
    from ..decide import workflow

    ref = _branch(folder)
    for path in sorted((*(folder / FOLDER).glob("*.yml"), *(folder / FOLDER).glob("*.yaml"))):
        source = workflow.Source(sha="0" * 40, ref=ref, path=str(path.relative_to(folder)))
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path} cannot be read ({error.strerror})", "Make it a readable file") from None
        if len(raw) > LARGEST:
            yield workflow.too_large(len(raw), source)
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            number = raw[: error.start].count(b"\n") + 1
            yield BuildPlan(sha=source.sha, ref=ref, workflow=source.path, name=source.path, problem=f"{source.path}:{number}: not UTF-8 text")
            continue
        plan = workflow.read(text, source, available=lambda _uses: True)
        if plan is not None:
            yield plan


def _branch(folder: Path) -> str:
    try:
        head = (folder / ".git" / "HEAD").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return "refs/heads/main"
    return head.removeprefix("ref: ") if head.startswith("ref: ") else "refs/heads/main"
