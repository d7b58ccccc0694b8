"""The figure that all of ours are. Imported only where one is drawn, because it needs plotly."""

from __future__ import annotations

import json
from typing import Any

from plotly.graph_objects import Figure

from ..client.tables import escape
from .board import is_watched
from .figures import PLOTLY


class Drawn(Figure):
    """A plotly figure. Where nobody is live its static twin stands beside its data: exporters and GitHub show that, and no script is in it."""

    _heading = _static = ""

    def beside(self, static: str, title: str) -> Drawn:
        """The same with its static twin, as HTML."""
        self._heading, self._static = title, static
        return self

    def _ipython_display_(self) -> None:
        if is_watched():
            super()._ipython_display_()
            return
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(self, *args: Any, **how: Any) -> Any:
        if is_watched():
            return super()._repr_mimebundle_(*args, **how)
        shown = f'<div style="font-weight:600">{escape(self._heading)}</div>{self._static}'
        return {PLOTLY: json.loads(self.to_json()), "text/html": shown, "text/plain": self._heading}
