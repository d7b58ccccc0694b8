"""The dashboard in a real JupyterLab, Notebook 7 and Voila, in real Chromium, over a real engine with real processes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

import qcity_nb

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(180)]

QUIET = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "doNotDisturbMode": True, "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
READY = """async () => {
  const widget = window.jupyterapp.shell.currentWidget;
  if (!widget || !widget.context) return false;
  await widget.context.ready;
  await widget.sessionContext.ready;
  return widget.sessionContext.session?.kernel?.status === "idle";
}"""
RUN = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
ASK = """async (code) => {
  const future = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute(
    { code: "", silent: true, user_expressions: { x: code } });
  const x = (await future.done).content.user_expressions.x;
  return x.data ? x.data["text/plain"] : JSON.stringify(x);
}"""


class Lab:
    """A JupyterLab of its own, and notebooks in it.

    Args:
        app: the module that is run, with what it is given beside the usual.
    """

    def __init__(self, folder: Path, app: tuple[str, ...] = ("jupyterlab", "--LabApp.expose_app_in_browser=True")) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.folder, self._token = folder, secrets.token_hex(8)
        self.url = f"http://127.0.0.1:{self._port}"
        config = folder / "config" / "labconfig"
        config.mkdir(parents=True)
        (config / "default_setting_overrides.json").write_text(json.dumps(QUIET))
        (folder / "root").mkdir()
        names = ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
        env = {**os.environ, **{name: str(folder / name) for name in names}, "JUPYTER_CONFIG_DIR": str(folder / "config")}
        env.pop("QCITY_NB_HEADLESS", None)
        flags = ["--no-browser", f"--port={self._port}"]
        if app[0] != "voila":  # which binds to loopback and asks for no token by itself
            flags += ["--allow-root", "--ip=127.0.0.1", "--ServerApp.port_retries=0"]
            flags += [f"--ServerApp.root_dir={folder / 'root'}", f"--IdentityProvider.token={self._token}"]
        self._said, self._asked = (folder / "said").open("wb"), "" if app[0] == "voila" else f"api?token={self._token}"
        command = [sys.executable, "-m", *app, *flags]
        self._server = subprocess.Popen(command, env=env, cwd=folder, stdout=self._said, stderr=self._said, start_new_session=True)

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/{self._asked}", timeout=30):
                    return
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "said").read_text()[-2000:]
                assert self._server.poll() is None, (self.folder / "said").read_text()[-2000:]
                self._server_pause()

    def _server_pause(self) -> None:
        with socket.socket() as nothing:  # a tenth of a second without a sleep: nobody ever answers here
            nothing.settimeout(0.1)
            nothing.bind(("127.0.0.1", 0))
            nothing.listen()
            try:
                nothing.accept()
            except TimeoutError:
                return

    def notebook(self, page, name: str, *cells: str, path: str = "lab/workspaces/{stem}/tree/{name}") -> None:
        """Open a notebook with these cells and wait for its kernel."""
        from nbformat import v4

        made = v4.new_notebook(cells=[v4.new_code_cell(source) for source in cells])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        (self.folder / "root" / name).write_text(json.dumps(made))
        page.goto(f"{self.url}/{path.format(stem=Path(name).stem, name=name)}?token={self._token}&reset")
        page.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget", timeout=60_000)
        page.wait_for_function(READY, timeout=60_000)

    def close(self) -> None:
        """End it, and its kernels."""
        os.killpg(self._server.pid, signal.SIGTERM)
        try:
            self._server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._said.close()


@pytest.fixture(scope="module")
def lab():
    pytest.importorskip("jupyterlab")
    folder = Path(tempfile.mkdtemp(prefix="qcity-lab-"))
    made = Lab(folder)
    try:
        made.wait()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def fleet(lab):
    """A real place: an engine of its own and three runners."""
    with qcity_nb.open(lab.folder / "home") as city:
        for name in ("alpha", "beta", "gamma"):
            city.runners.start("command", name, command=["sleep", "1000"])
        yield city
        city.stop()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1300, "height": 1000})
    opened = context.new_page()
    yield opened
    context.close()


def cell(lab):
    return f"import qcity_nb\ncity = qcity_nb.open({str(lab.folder / 'home')!r})\nboard = city.dashboard()\nboard"


def test_from_run_to_rows_click_keys_night_narrow_and_the_end_of_the_kernel(lab, fleet, page, pictures):
    """D2, D3, D4, D7, D8 in one sitting, as a person has them."""
    lab.notebook(page, "one.ipynb", "1 + 1", cell(lab))
    begin = time.monotonic()
    page.evaluate(RUN)
    page.wait_for_selector(".qcity-board .row", timeout=30_000)
    rows = time.monotonic() - begin
    print(f"\nfirst rows {rows:.2f} s after Run, in a fresh kernel")
    page.wait_for_function("document.querySelectorAll('.qcity-board .row').length === 3")
    page.wait_for_selector(".jp-OutputArea details summary:has-text('static copy')")
    assert page.locator(".headline").inner_text() == "● All 3 runners are well. Nothing runs."
    page.wait_for_function("Number(document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]) > 2")
    page.screenshot(path=pictures / "lab-light.png")
    for term in page.locator(".figures dt").all():  # Lab has a sheet of its own for such lists
        assert term.evaluate("(dt) => dt.getBoundingClientRect().bottom <= dt.nextSibling.getBoundingClientRect().top + 1")

    page.locator('[data-stop="row alpha"]').click()
    page.keyboard.press("d")
    page.keyboard.press("d")  # Lab's own shortcut would delete the cell now
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.dataset.stop") == "row beta"
    assert page.evaluate("window.jupyterapp.shell.currentWidget.model.cells.length") == 2
    before = fleet.runners["beta"].pid
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    page.wait_for_selector(".result:has-text('beta: it was stopped and is up again')", timeout=30_000)
    assert fleet.runners["beta"].pid != before
    page.locator('[data-stop="row alpha"] + .more button', has_text="Restart").click()  # the first one may still be beta's: worst first
    page.screenshot(path=pictures / "lab-confirm.png")
    page.locator("button.sure").click()
    page.wait_for_selector(".result:has-text('alpha: it was stopped and is up again')", timeout=30_000)

    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_selector('.qcity-board[data-theme="dark"]', timeout=20_000)
    page.set_viewport_size({"width": 600, "height": 1000})
    page.wait_for_function("document.querySelector('.qcity-board').getBoundingClientRect().width < 560")
    page.wait_for_timeout(300)  # Lab lays itself out in steps of its own
    page.screenshot(path=pictures / "lab-600-dark.png")
    for part in (".qcity-board", ".jp-OutputArea-output:has(.qcity-board)"):
        assert page.evaluate("(part) => { const n = document.querySelector(part); return n.scrollWidth <= n.clientWidth + 1; }", part)

    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    begin = time.monotonic()
    page.wait_for_selector(".qcity-board.stale", timeout=10_000)
    print(f"STALE {time.monotonic() - begin:.1f} s after the restart of the kernel")
    page.screenshot(path=pictures / "lab-stale.png")


def test_a_cell_that_computes_does_not_silence_it_and_ten_runs_leave_one(lab, fleet, page):
    lab.notebook(page, "two.ipynb", cell(lab), "import time\nend = time.monotonic() + 6\nwhile time.monotonic() < end: pass")
    page.evaluate(RUN)
    page.wait_for_selector(".qcity-board .row", timeout=30_000)
    page.wait_for_timeout(5000)  # the busy cell runs; three seconds of silence would be STALE
    assert page.locator(".qcity-board.stale").count() == 0
    page.wait_for_function(READY, timeout=30_000)
    for turn in range(9):
        page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell'); }")
        page.wait_for_function(f"window.jupyterapp.shell.currentWidget.model.cells.get(0).executionCount === {turn + 3}", timeout=30_000)
    page.wait_for_selector(".qcity-board:not(.stale) .row")
    assert page.locator(".qcity-board").count() == 1
    count = "[sum(t.name.startswith('board-') for t in __import__('threading').enumerate()), len(__import__('qcity_nb.ui.board').ui.board._shown)]"
    assert page.evaluate(ASK, count) == "[1, 1]"
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.goto(page.url)  # what it said has been saved: the view comes back with it, and asks for what it missed
    page.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget", timeout=60_000)
    page.wait_for_selector(".qcity-board:not(.stale) .row", timeout=60_000)
    page.wait_for_function("Number(document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]) > 2")


def test_a_form_is_filled_in_with_the_keyboard_and_starts_what_its_line_says(lab, fleet, page, pictures):
    opening = f"import qcity_nb\ncity = qcity_nb.open({str(lab.folder / 'home')!r})\ncity.forms.runner(kind='command')"
    lab.notebook(page, "form.ipynb", opening)
    page.evaluate(RUN)
    page.wait_for_selector(".jp-OutputArea .widget-text input", timeout=30_000)
    assert "needs a command" in page.inner_text(".jp-OutputArea")
    name, command = (page.get_by_label(label, exact=True) for label in ("Name", "Command"))
    name.fill("delta")
    command.fill("sleep 1000")
    page.wait_for_function("document.querySelector('.jp-OutputArea pre').textContent.includes('sleep')")
    page.screenshot(path=str(pictures / "form.png"))
    assert page.inner_text(".jp-OutputArea .widget-html-content pre, .jp-OutputArea pre") == (
        "city.runners.start('command', 'delta', command=['sleep', '1000'])"
    )
    command.press("Tab")
    page.keyboard.press("Enter")  # the button comes next
    page.wait_for_function("document.querySelector('.jp-OutputArea').innerText.includes('delta ')", timeout=30_000)
    page.wait_for_function("/delta.*(up|running)/i.test(document.querySelector('.jp-OutputArea').innerText)", timeout=30_000)
    page.screenshot(path=str(pictures / "form_done.png"))
    assert fleet.runners["delta"].row.state.phase.value == "running"
    fleet.runners["delta"].remove()


def test_a_page_that_is_loaded_again_shows_it_live_without_running_anything(lab, fleet, page):
    lab.notebook(page, "again.ipynb", cell(lab))
    page.evaluate(RUN)
    page.wait_for_selector(".qcity-board .row", timeout=30_000)
    page.wait_for_function("Number(document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]) > 2")
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.reload()
    page.wait_for_selector(".qcity-board .row", timeout=60_000)
    begun = int(page.evaluate("document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]"))
    page.wait_for_function("(begun) => Number(document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]) > begun", arg=begun)
    assert "STALE" not in page.inner_text(".qcity-board footer")


@pytest.fixture
def started(tmp_path_factory):
    """What starts another front end and waits until it answers; all are ended."""
    made = []

    def start(*app: str, **env: str) -> Lab:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            made.append(Lab(tmp_path_factory.mktemp("app"), app))
        made[-1].wait()
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_notebook_7_shows_it_live_and_its_own_keys_keep_out(started, lab, fleet, page, pictures):
    pytest.importorskip("notebook", minversion="7")
    app = started("notebook", "--JupyterNotebookApp.expose_app_in_browser=True")
    app.notebook(page, "seven.ipynb", cell(lab), path="notebooks/{name}")
    page.evaluate(RUN)
    page.wait_for_selector(".qcity-board .row", timeout=60_000)
    page.wait_for_function("Number(document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]) > 2")
    before = fleet.runners["gamma"].pid
    page.locator('[data-stop="row gamma"]').click()
    page.keyboard.press("r")  # Notebook's own shortcut would make the cell raw
    page.keyboard.press("Enter")
    page.wait_for_selector(".result:has-text('gamma: it was stopped and is up again')", timeout=30_000)
    assert fleet.runners["gamma"].pid != before
    page.screenshot(path=pictures / "notebook7.png")
    assert page.locator(".jp-OutputArea details summary").inner_text().count("static copy") == 1


def test_voila_shows_the_dashboards_notebook_as_a_page_and_it_lives(started, lab, fleet, page, pictures):
    pytest.importorskip("voila")
    app = started("voila", str(Path(qcity_nb.__file__).parents[1] / "notebooks" / "dashboard.ipynb"), QCITY_HOME=str(lab.folder / "home"))
    page.goto(app.url)
    page.wait_for_selector(".qcity-board .row", timeout=60_000)
    page.wait_for_function("Number(document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]) > 2", timeout=30_000)
    page.screenshot(path=pictures / "voila.png")
    assert page.locator(".headline").inner_text() == "● All 3 runners are well. Nothing runs."
    assert "static copy" in page.locator("details summary").inner_text()  # what was shown when the cells ran is not shown beside what is
    assert not page.locator("details table").is_visible()
    assert "NBVAL" not in page.inner_text("body")
