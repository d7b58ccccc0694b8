"""All that draws, as one object, for the client that must not import it. What it needs is loaded when something is drawn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any


class Painter:
    """Each method is the function of its name in `figures`, `past`, `notebooks`, `board`, `alive` or `live`."""

    def health_figure(self, frame: Any, incidents: Any = None) -> Any:
        """Beats as a figure."""
        from . import figures

        return figures.health_figure(frame, incidents)

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

    def spread_figure(self, frame: Any, column: str, title: str) -> Any:
        """Times of jobs as boxes."""
        from . import past

        return past.spread_figure(frame, column, title)

    def outcomes_figure(self, frame: Any) -> Any:
        """How jobs ended."""
        from . import past

        return past.outcomes_figure(frame)

    def flaky_figure(self, summary: Any) -> Any:
        """Jobs that change their mind."""
        from . import past

        return past.flaky_figure(summary)

    def cost_figure(self, frame: Any) -> Any:
        """Minutes on runners."""
        from . import past

        return past.cost_figure(frame)

    def addresses_figure(self, frame: Any) -> Any:
        """Generations of tunnels."""
        from . import past

        return past.addresses_figure(frame)

    def figures_page(self, figures: Sequence[Any], target: Path, *, title: str, above: str) -> Path:
        """Figures as one page."""
        from . import past

        return past.figures_page(figures, target, title=title, above=above)

    def notebook_report(self, notebook: Path, target: Path, *, title: str, facts: Sequence[tuple[str, object]]) -> Path:
        """An executed notebook as a page."""
        from . import notebooks

        return notebooks.notebook_report(notebook, target, title=title, facts=facts)

    def dashboard(self, city: Any, *, name: str, every: float) -> Any:
        """A place as it is now, live and as HTML."""
        from . import board

        return board.Dashboard(city, name=name, every=every)

    def keep_alive(self, watch: Any, pump: Callable[[float], None], *, until_idle: bool, unassign: bool) -> Awaitable[str]:
        """The cell that keeps work alive."""
        from . import alive

        return alive.keep_alive(watch, pump, until_idle=until_idle, unassign=unassign)

    def forms(self, city: Any) -> Any:
        """The forms of a place."""
        from . import forms

        return forms.Forms(city)

    def live(self, run: Any, *, block: bool) -> Callable[[], bool]:
        """A run as it goes on."""
        from . import live

        return live.live(run, block=block)


PAINTER = Painter()
