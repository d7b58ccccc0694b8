"""The widgets of one form. Imported only where it is shown, because it needs ipywidgets (7.7 or 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

from ..client.tables import escape
from ..decide.forms import Field

if TYPE_CHECKING:
    from .forms import Filled

STYLE = {"description_width": "130px"}
WIDTH = "min(100%, 520px)"


class Parts:
    """What a form is made of; it changes as the form's first field does.

    Args:
        filled: whose values it shows and changes.
    """

    def __init__(self, filled: Filled) -> None:
        self._filled = filled
        self._fields = [(one, _widget(one, filled.values.get(one.key, one.default))) for one in filled.form.fields]
        self._note, self._code, self._result = (ipywidgets.HTML(layout={"margin": "0 0 0 136px"}) for _ in range(3))
        self._button = ipywidgets.Button(description=filled.form.button, button_style="primary", layout={"margin": "4px 0 4px 136px"})
        self._button.on_click(self._press)
        for one, widget in self._fields:
            widget.observe(lambda change, one=one: self._typed(one, change["new"]), names="value")
        foot = [self._note, self._button, self._code, self._result]
        self._inner = ipywidgets.VBox([])
        self.box = ipywidgets.VBox([self._inner, *foot])
        self._draw()

    def close_all(self) -> None:
        """Take all of it away, its models too: ipywidgets would keep them for ever."""
        for widget in (*(widget for _, widget in self._fields), self._note, self._code, self._result, self._button, self._inner, self.box):
            for part in (widget.layout, getattr(widget, "style", None)):
                if part is not None:
                    part.close()
            widget.close()

    def _typed(self, one: Field, value: Any) -> None:
        self._filled.put(one.key, value)
        self._draw()

    def _draw(self) -> None:
        asked = self._filled.form.asked(self._filled.values)
        there = tuple(widget for one, widget in self._fields if one in asked)
        for one, widget in self._fields:
            if one in asked and widget.value != self._filled.values[one.key]:
                widget.value = self._filled.values[one.key]  # two fields of one name show the same
        if self._inner.children != there:
            self._inner.children = there
        fine, self._note.value = self._filled.told()
        self._button.disabled = not fine
        code = self._filled.code
        style = "margin:4px 0;padding:4px 8px;border:1px solid #8884;border-radius:4px;white-space:pre-wrap;user-select:all"
        self._code.value = f'<pre style="{style}">{escape(code)}</pre>' if code else ""

    def _press(self, _button: object) -> None:
        self._button.disabled = True
        self._result.value = f"<i>{escape(self._filled.form.button)} …</i>"
        self._filled.start(self._over)

    def _over(self, text: str) -> None:
        self._result.value = text
        self._draw()


def _widget(one: Field, value: Any) -> Any:
    common: dict[str, Any] = {"description": one.label, "style": STYLE, "layout": {"width": WIDTH}}
    if one.choices:
        return ipywidgets.Dropdown(options=one.choices, value=value if value in one.choices else one.default, **common)
    if isinstance(one.default, bool):
        return ipywidgets.Checkbox(value=bool(value), **common)
    if isinstance(one.default, int):
        return ipywidgets.IntText(value=int(value), **common)
    return ipywidgets.Text(value=str(value), placeholder=one.hint, continuous_update=True, **common)
