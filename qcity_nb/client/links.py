"""Links: files in which a tunnel's address is kept right, what was changed in them, and how to take it back. Replacing by hand needs no engine."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ..decide import links
from ..decide.proposals import told as told_of
from ..decide.wording import count, did_you_mean, line, sentence, span
from ..errors import BadInput, NotFound, QCityError, Refused
from ..io import journal, rewrite
from ..model.home import Home
from ..model.link import Change, Remark, Report
from ..model.tunnel import Binding, Issued
from ..store import tunnels as store
from ..store.tunnels import FollowerRow
from . import predeploy, proposals
from .link import Link
from .linkchecks import CheckReport, Expected, examine
from .predeploy import PreDeploy
from .tables import Shown, clock, table


class Rewritten(Shown):
    """What came of a sync, a replacement or a rollback, in a sentence and a table.

    Args:
        report: the facts.
        new: the origin from now on.
        would: nothing was changed, this is what would be.
        failed: why nothing could be done at all.
    """

    def __init__(self, report: Report, *, new: str, would: bool = False, failed: str = "") -> None:
        self.report, self.new, self.would, self.failed = report, new, would, failed

    @property
    def links(self) -> int:
        """How many were replaced, or would be."""
        return self.report.links

    def sentence(self) -> str:
        """What happened."""
        if self.failed:
            return f"Nothing was changed: {sentence(self.failed)}"
        report = self.report
        left = f"; {count(len(report.remarks), 'place was', 'places were')} seen and left alone" if report.remarks else ""
        told = told_of(report)
        if not report.files:
            return f"Nothing to change in {count(report.seen, 'file')}{f'; {told}' if told else ''}{left}."
        what = f"{count(report.links, 'link')} in {count(len(report.files), 'file')}"
        if self.would:
            return f"{what} would change to {self.new}{left}."
        committed = (f", committed as {report.sha[:10]}" if report.sha else "") + (f"; {told}" if told else "")
        return f"{what} changed to {self.new} in {span(report.took)}{committed}{left}; qcity links rollback {report.number} takes it back."

    def __repr__(self) -> str:
        return "\n".join((self.sentence(), *(f"  {left_alone(one)}" for one in self.report.remarks)))

    def _html(self) -> str:
        rows: list[tuple[object, ...]] = [(one.path, len(one.edits), "") for one in self.report.files]
        rows += [(one.path, "", left_alone(one)) for one in self.report.remarks]
        return table(self.sentence(), ("file", "links", "left alone"), rows, empty="nothing")


def left_alone(one: Remark) -> str:
    """What was seen and not changed, and why."""
    return f"{one.path}{f':{one.line}' if one.line else ''}: {line(one.text)}{' - ' if one.text else ''}{one.why}"


class Links(Shown):
    """The bound files of a place."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def bind(self, *patterns: str, tunnel: object, root: str | Path | None = None, commit: str = "") -> Binding:
        """Keep a tunnel's address right in files from now on.

        Args:
            patterns: below `root`: `README.md`, `docs/**/*.md`, `app.json#/links/app`, `README.md#[app]`; `!pattern` takes back.
            tunnel: its name, or the tunnel.
            root: the folder (default: the current one).
            commit: empty leaves changes in the working tree, `commit` commits them, `branch:NAME` puts them on that branch, `pull` (or
                `pull:BRANCH`) pushes them to a branch of their own and opens a pull or merge request, which follows the address.

        Raises:
            BadInput: a pattern, the folder or `commit` cannot be used.
            NotFound: a request is wanted, and there is no token for the forge.
        """
        folder = Path(root or ".").expanduser().resolve()
        if not patterns:
            raise BadInput("no file was named", 'Name some, as "README.md" or "docs/**/*.md"')
        binding = Binding(root=str(folder), patterns=patterns, commit=commit)
        name = _name(tunnel)
        rewrite.root_of(binding)
        links.Rewriter(aim=links.Aim(tunnel=name, new="", old=()), patterns=patterns)
        if _proposes(commit):
            proposals.provide(self._link, binding, name)
        self._link.ask("follow.put", name, {"follower": msgspec.to_builtins(binding)})
        return binding

    def unbind(self, *, tunnel: object, root: str | Path | None = None) -> None:
        """Leave the files below a folder alone from now on. Raises `NotFound` when nothing of that tunnel is bound there."""
        name, folder = _name(tunnel), str(Path(root or ".").expanduser().resolve())
        found = [row for row in self.bindings() if row.tunnel == name and isinstance(row.follower, Binding) and row.follower.root == folder]
        if not found:
            raise NotFound(f'nothing below {folder} is bound to "{name}"', "qcity links list shows what is bound")
        self._link.ask("follow.drop", name, {"key": found[0].key})

    def bindings(self) -> list[FollowerRow]:
        """What is bound, in the order in which it was, with what came of the last address."""
        with self._link.read() as connection:
            return [row for row in store.followers_of(connection, self._link.place) if isinstance(row.follower, Binding)]

    def sync(self, tunnel: object = "", *, dirty: bool = False, check: bool = False) -> list[Rewritten]:
        """Make the links right now, of one tunnel or of all.

        Args:
            dirty: also in files with changes that were not committed.
            check: only say what would change.

        Raises:
            NotFound: no files are bound to it.
            Refused: the tunnel has no address now.
        """
        asked = _name(tunnel) if tunnel else ""
        rows = [row for row in self.bindings() if asked in ("", row.tunnel)]
        if asked and not rows:
            raise NotFound(f'no files are bound to "{asked}"', did_you_mean(asked, {row.tunnel for row in self.bindings()}, what="bound tunnel"))
        issued = self.issued()
        live = {one.tunnel: one.origin for one in issued if one.until is None}
        if asked and asked not in live:
            raise Refused(f"{asked} has no address now, so there is nothing to write", f"qcity tunnel show {asked} says how it is", permanent=False)
        made = []
        for row in rows:
            if row.tunnel in live and isinstance(row.follower, Binding):
                new = live[row.tunnel]
                rewriter = links.Rewriter(aim=links.aim(issued, tunnel=row.tunnel, new=new), patterns=row.follower.patterns)
                try:
                    made.append(_carry_out(self._home, row.follower, rewriter, why="asked by hand", dirty=dirty, check=check))
                except QCityError as error:  # of one folder; the others are made right all the same
                    made.append(Rewritten(Report(files=(), remarks=()), new=new, would=check, failed=str(error)))
        return made

    def check(
        self,
        *paths: str | Path,
        browser: bool | None = None,
        fix: bool = False,
        dirty: bool = False,
        private: bool = False,
        offline: bool = False,
        expected: Sequence[Expected] = (),
    ) -> CheckReport:
        """Look whether the links of files lead somewhere.

        Args:
            paths: Markdown, HTML and notebooks, or folders of them (default: the bound files' folders, else the current one).
            browser: also look with a real browser at links of tunnels and dashboards, and at oddities (None: where there is a browser).
            fix: rewrite links to addresses that a tunnel had to the one that it has now.
            dirty: do so also in files with changes that were not committed.
            private: also addresses of private networks and of this machine.
            offline: only what needs no network.
            expected: what has to be seen behind an address.

        Raises:
            BadInput: there is no such file.
            MissingTool: a browser was asked for, and there is none.
        """
        bound = [row.follower.root for row in self.bindings() if isinstance(row.follower, Binding)]
        chosen = [str(one) for one in paths] or list(dict.fromkeys(bound)) or ["."]
        report = examine(self._home, chosen, issued=self.issued(), browser=browser, private=private, offline=offline, expected=expected)
        if not fix or not report.fixable:
            return report
        for name, new, files in report.repairs():
            root, below = _together([Path(one) for one in files])
            rewriter = links.Rewriter(aim=links.aim(self.issued(), tunnel=name, new=new), paths=below)
            _carry_out(self._home, Binding(root=str(root), patterns=()), rewriter, why="a link check found them", dirty=dirty, check=False)
        return examine(self._home, chosen, issued=self.issued(), browser=browser, private=private, offline=offline, expected=expected)

    def pre_deploy(
        self, *paths: str | Path, browser: bool | None = None, private: bool = False, offline: bool = False, expected: Sequence[Expected] = ()
    ) -> PreDeploy:
        """Tunnels, what carries their addresses on, and the links of files: what has to be right before a deployment. Arguments as in `check`."""
        chosen = [str(one) for one in paths] or ["."]
        return predeploy.run(self._link, chosen, browser=browser, private=private, offline=offline, expected=expected)

    def replace(self, old: str, new: str, *paths: str | Path, check: bool = False, dirty: bool = False) -> Rewritten:
        """Replace one origin by another in files and folders, by hand. See `replace_in`."""
        return replace_in(self._home, old, new, [str(one) for one in paths], check=check, dirty=dirty)

    def rollback(self, number: int) -> Rewritten:
        """Take a change back, to the byte; the request that carries it is closed. A binding will write the tunnel's address again at its next change.

        Raises:
            NotFound: there is no such change.
            Refused: a file has changed since.
        """
        return roll_back(self._home, number)

    def log(self) -> list[Change]:
        """The changes, oldest first."""
        return changes(self._home)

    def issued(self) -> list[Issued]:
        """The ledger of addresses."""
        with self._link.read() as connection:
            return store.issued_of(connection, self._link.place)

    @property
    def _home(self) -> Home:
        return self._link.store.home

    def __iter__(self) -> Iterator[FollowerRow]:
        return iter(self.bindings())

    def __len__(self) -> int:
        return len(self.bindings())

    def __repr__(self) -> str:
        rows = self.bindings()
        return "\n".join(f"{row.tunnel}: {files_of(row)}{f' - {row.last.text}' if row.last else ''}" for row in rows) or "no files are bound yet"

    def _html(self) -> str:
        rows = [(row.tunnel, files_of(row), row.last.text if row.last else "", clock(row.at)) for row in self.bindings()]
        return table("", ("tunnel", "files", "last", "at"), rows, empty="No files are bound yet.")


def files_of(row: FollowerRow) -> str:
    """Which files a binding means."""
    binding = row.follower
    assert isinstance(binding, Binding)
    return line(f"{', '.join(binding.patterns)} in {binding.root}{f' ({binding.commit})' if binding.commit else ''}")


def replace_in(home: Home, old: str, new: str, paths: Sequence[str], *, check: bool = False, dirty: bool = False) -> Rewritten:
    """Replace an origin in files, or in all files of a known format below folders; nothing else in them changes by one byte. Needs no engine.

    Args:
        check: only say what would change.
        dirty: also files with changes that were not committed.

    Raises:
        BadInput: an origin is none, or there is no such file.
    """
    was, to = links.origin_of(old), links.origin_of(new)
    full = [Path(os.path.abspath(Path(one).expanduser())) for one in paths]  # noqa: PTH100 - a symlink stays one: it is looked at later
    if gone := [path for path in full if not path.exists()]:
        raise BadInput(f"there is no {gone[0]}", "Name files or folders that are there")
    if not full:
        raise BadInput("no file was named", "Name files or folders")
    root, below = _together(full)
    folders = [one for one, path in zip(below, full, strict=True) if path.is_dir()]
    ways = tuple(f"{'' if folder == '.' else glob_escape(folder) + '/'}**/*.{kind}" for folder in folders for kind in links.FORMATS)
    aim = links.Aim(tunnel="", new=to, old=(was,) if was != to else ())
    rewriter = links.Rewriter(aim=aim, patterns=ways, paths=tuple(one for one in below if one not in folders))
    return _carry_out(home, Binding(root=str(root), patterns=ways), rewriter, why="asked by hand", dirty=dirty, check=check)


def _together(paths: Sequence[Path]) -> tuple[Path, tuple[str, ...]]:
    """The folder that all of them are in, and their paths below it."""
    root = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in paths]))
    return root, tuple(path.relative_to(root).as_posix() for path in paths)


def glob_escape(text: str) -> str:
    """A path as a pattern that means just it."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def roll_back(home: Home, number: int) -> Rewritten:
    """Take a change back. Raises as `Links.rollback`."""
    change = journal.get(home, number)
    if _proposes(change.commit):
        return Rewritten(proposals.withdraw(home, number, actor=_actor()), new=f"what they were before change {change.number}")
    return Rewritten(rewrite.rollback(home, number, actor=_actor()), new=f"what they were before change {change.number}")


def changes(home: Home) -> list[Change]:
    """The changes that the journal of a home has, oldest first."""
    found = []
    for number in journal.numbers(home):
        try:
            found.append(journal.get(home, number))
        except NotFound:
            continue
    return found


def _carry_out(home: Home, binding: Binding, rewriter: links.Rewriter, *, why: str, dirty: bool, check: bool) -> Rewritten:
    aim = rewriter.aim
    if check:
        return Rewritten(rewrite.check(home, binding, rewriter, dirty=dirty), new=aim.new, would=True)
    if _proposes(binding.commit):
        return Rewritten(proposals.propose(home, binding, rewriter, why=why, actor=_actor()), new=aim.new)
    report = rewrite.sync(home, binding, rewriter, tunnel=aim.tunnel, new=aim.new, why=why, actor=_actor(), dirty=dirty)
    return Rewritten(report, new=aim.new)


def _proposes(commit: str) -> bool:
    return commit.partition(":")[0] == "pull"


def _name(tunnel: object) -> str:
    name = tunnel if isinstance(tunnel, str) else getattr(tunnel, "name", None)
    if not isinstance(name, str) or not name:
        raise BadInput("no tunnel was named", "Give its name, or the tunnel")
    return name


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
