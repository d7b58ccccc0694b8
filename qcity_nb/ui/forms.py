"""Forms of ipywidgets for what is done often: start a runner, open a tunnel, schedule a notebook. Under each stands the line that does the same.

A form checks as one types, and does nothing else: the button calls what the line says, in a thread, because a kernel has other things to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..client.city import QCity
from ..client.tables import COLOURS, escape
from ..decide import forms
from ..decide.forms import Form
from ..decide.health import Level
from ..decide.redact import redact
from ..decide.wording import line, sentence
from ..errors import BadInput, QCityError
from .board import is_watched

INSTALL = 'Filling it in needs ipywidgets: pip install "qcity-nb[dashboard]".'
NOBODY = "Nobody can fill it in here; the line does the same."
_open: dict[tuple[str, str], Filled] = globals().get("_open", {})  # autoreload runs this module again: what is open stays known


class Forms:
    """The forms of a place, by what they do. Made by `city.forms`."""

    def __init__(self, city: QCity) -> None:
        self._city = city

    def runner(self, **values: Any) -> Filled:
        """A form that starts a runner; what is given stands in it already."""
        return Filled(self._city, forms.RUNNER, values)

    def tunnel(self, **values: Any) -> Filled:
        """A form that opens a tunnel."""
        return Filled(self._city, forms.TUNNEL, values)

    def notebook(self, **values: Any) -> Filled:
        """A form that schedules a notebook."""
        return Filled(self._city, forms.NOTEBOOK, values)

    def __repr__(self) -> str:
        return "\n".join(f"city.forms.{form.name}(): {form.call}" for form in forms.FORMS)


class Filled:
    """A form and what stands in it.

    Args:
        given: what to begin with, by the names of the call.

    Raises:
        BadInput: it has no such field, or the value is none for it.
    """

    def __init__(self, city: QCity, form: Form, given: dict[str, Any]) -> None:
        self._city, self.form, self.result = city, form, None
        forms.fits(form, given)
        self._values: dict[str, Any] = {one.key: one.default for one in reversed(form.fields)} | given
        self._parts: Any = None
        self._thread: threading.Thread | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What stands in the fields that are there now, by the names of the call."""
        return {one.key: self._values[one.key] for one in self.form.asked(self._values)}

    @property
    def code(self) -> str:
        """The line that does the same; empty while a value cannot be meant."""
        try:
            return forms.code(self.form, self.values)
        except BadInput:
            return ""

    def check(self) -> str:
        """What is worth knowing of it. Raises `BadInput` for the first thing that cannot be meant."""
        known: dict[str, Iterable[Any]] = {
            "runner": self._city.runners, "tunnel": self._city.tunnels, "notebook": self._city.notebooks.schedules
        }
        names = [one.name for one in known[self.form.name]]
        return forms.check(self.form, self.values, exists=_exists, names=names, now=datetime.now(timezone.utc))

    def press(self) -> Any:
        """Do it; what the call gives. Raises what the call raises."""
        self.check()
        placed, named = forms.call(self.form, self.values)
        does: Any = self._city
        for part in self.form.call.split(".")[1:]:
            does = getattr(does, part)
        self.result = does(*placed, **named)
        return self.result

    def close(self) -> None:
        """End the live form. Twice is harmless."""
        if self._parts is not None:
            self._parts.close_all()
            self._parts = None
        if _open.get(self._key) is self:
            del _open[self._key]

    @property
    def _key(self) -> tuple[str, str]:
        return str(self._city.home), self.form.name

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if not is_watched():
            display(self._bundle(NOBODY), raw=True)
            return
        try:
            from .forms_widgets import Parts
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("ipywidgets", "traitlets"):
                raise
            display(self._bundle(INSTALL), raw=True)
            return
        if (before := _open.pop(self._key, None)) is not None:
            before.close()  # a cell that is run again leaves one
        self._parts, _open[self._key] = Parts(self), self
        display(self._parts.box)

    def _bundle(self, why: str) -> dict[str, str]:
        """What stands where nobody can fill it in: the line, what it lacks, and why it is only a line."""
        try:
            self.check()
        except QCityError as error:
            why = f"{sentence(redact(str(error)))} {why}"
        text = f"{self.form.button}: {self.code or self.form.call + '(…)'}"
        return {"text/plain": text, "text/html": f"<div><code>{escape(text)}</code></div><div style='opacity:0.7'>{escape(why)}</div>"}

    def put(self, key: str, value: Any) -> None:
        """Fill one field in."""
        self._values[key] = value

    def told(self) -> tuple[bool, str]:
        """Whether it can be done, and what stands below the fields, as HTML."""
        try:
            note = self.check()
        except QCityError as error:
            return False, _said(Level.BAD, str(error))
        return True, _said(Level.WELL, note or "ready")

    def start(self, then: Callable[[str], None]) -> threading.Thread | None:
        """Do it in a thread; `then` takes what came of it, as HTML. None when it is being done already."""
        if self._thread is not None and self._thread.is_alive():
            return None
        self._thread = threading.Thread(target=self._do, args=(then,), name=f"form-{self.form.name}", daemon=True)
        self._thread.start()
        return self._thread

    def _do(self, then: Callable[[str], None]) -> None:
        try:
            made = self.press()
        except QCityError as error:
            then(_said(Level.BAD, redact(str(error))))
        except Exception as error:  # noqa: BLE001 - whatever it was, who pressed the button has to hear of it
            then(_said(Level.BAD, redact(f"it failed ({type(error).__name__}: {line(str(error))}); qcity doctor says more")))
        else:
            then(_said(Level.WELL, line(repr(made).strip("<>"), limit=400)))

    def __repr__(self) -> str:
        return f"<Form {self.form.name} · {self.code or 'not filled in yet'}>"


def _exists(text: str) -> bool:
    return Path(text).expanduser().exists()


def _said(level: Level, text: str) -> str:
    return f'<span style="color:{COLOURS[level]}">{level.glyph}</span> {escape(sentence(text))}'
