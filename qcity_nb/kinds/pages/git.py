"""A fallback page on a branch of any git remote, as GitHub Pages (`gh-pages`) and GitLab Pages (`public/`) show it.

Each change is one commit on top of what is there; other files of the branch stay. It is made in a bare repository below the home and pushed without
force, so no work tree is touched and nobody's commit is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ...errors import BadInput, PlatformError
from ...model.home import Home
from ...model.tunnel import Page
from ..branch import REF, Branch, known
from . import check_options

BRANCH, TRIES = "gh-pages", 3


class Git:
    """The kind `git`, as `ports.PageKind`. The target is a remote; options: `branch` (`gh-pages`), `path` (a folder of it, `public` for GitLab)."""

    def check(self, page: Page) -> None:
        """See `ports.PageKind`."""
        check_options(page, ("branch", "path"))
        branch, path = page.options.get("branch", BRANCH), page.options.get("path", "")
        known(page.target, branch, what="page")
        if path and (not REF.fullmatch(path) or ".." in path.split("/") or "//" in path):
            raise BadInput(f'"{path}" is no folder in a repository', "Give a relative one, as public")

    def publish(self, page: Page, files: Mapping[str, bytes], *, home: Home) -> str:
        """See `ports.PageKind`."""
        self.check(page)
        branch, path = page.options.get("branch", BRANCH), page.options.get("path", "").strip("/")
        whole = {f"{path}/{name}" if path else name: data for name, data in files.items()}
        there = Branch(page.target, branch, home.root / "pages" / f"{hashlib.sha256(page.target.encode()).hexdigest()[:12]}.git", what="the page")
        where = f"on the branch {branch} of {there.shown}"
        for _ in range(TRIES):
            head = there.fetch()
            changed = {name: data for name, data in whole.items() if there.file(head, name) != data}
            if not changed:
                return f"the page is {where}, unchanged"
            if there.push(there.commit(changed, words="The fallback page follows the address", parent=head)):
                return f"the page is {where}"
        raise PlatformError(f"the branch {branch} of {there.shown} moves each time the page is pushed", "It is tried again", kind="conflict")


KIND = Git()
