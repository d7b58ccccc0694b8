"""All that draws, as one object, for the client that must not import it. What it needs is loaded when something is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Painter:
    """Each method is the function of its name in `figures`, `notebooks` or `live`."""

    def health_figure(self, frame: Any) -> Any:
        """Beats as a figure."""
        from . import figures

        return figures.health_figure(frame)

    def health_html(self, frame: Any) -> str:
        """Beats as static HTML."""
        from . import figures

        return figures.health_html(frame)

    def gantt_figure(self, frame: Any) -> Any:
        """Jobs as a figure."""
        from . import figures

        return figures.gantt_figure(frame)

    def gantt_html(self, frame: Any) -> str:
        """Jobs as static HTML."""
        from . import figures

        return figures.gantt_html(frame)

    def runs_figure(self, frame: Any) -> Any:
        """Runs as a figure."""
        from . import notebooks

        return notebooks.runs_figure(frame)

    def history_figure(self, frame: Any) -> Any:
        """How long runs took."""
        from . import notebooks

        return notebooks.history_figure(frame)

    def calendar_figure(self, frame: Any) -> Any:
        """Each day's runs."""
        from . import notebooks

        return notebooks.calendar_figure(frame)

    def notebook_report(self, notebook: Path, target: Path, *, title: str, facts: Sequence[tuple[str, object]]) -> Path:
        """An executed notebook as a page."""
        from . import notebooks

        return notebooks.notebook_report(notebook, target, title=title, facts=facts)

    def live(self, run: Any, *, block: bool) -> Callable[[], bool]:
        """A run as it goes on."""
        from . import live

        return live.live(run, block=block)


PAINTER = Painter()
