"""The widget itself: a module of JavaScript, a sheet of CSS and one trait. Imported only where it is shown, because it needs anywidget."""

from __future__ import annotations

from importlib import resources

import anywidget
import traitlets

_FILES = resources.files(__package__) / "static"


class BoardWidget(anywidget.AnyWidget):
    """A board in a front end; `snapshot` is all that it is told at once, the rest are custom messages."""

    _esm = (_FILES / "board.js").read_text("utf-8")
    _css = (_FILES / "board.css").read_text("utf-8")
    snapshot = traitlets.Dict().tag(sync=True)
