"""A stage for the provider ngrok: an app, a home with the token, a stand-in of the agent, and plain pyngrok beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time

import psutil
import pytest
from pyngrok import process
from pyngrok.conf import PyngrokConfig

from qcity_nb.errors import TunnelError
from qcity_nb.io import secrets
from qcity_nb.kinds.tunnels.ngrok import Ngrok
from qcity_nb.model.home import Home
from qcity_nb.ports import Target
from qcity_nb.testing import ngrok_agent
from qcity_nb.testing.edge import NonceApp, starts, tell

TOKEN = "2aBcD_stand-in-token"
PATIENCE = 10.0


class Stage:
    """An app, a home with the token, and a stand-in of the agent."""

    def __init__(self, root):
        self.token = TOKEN
        self.root, self.app, self.home = root, NonceApp(), Home(root / "home")
        self.home.root.mkdir()
        secrets.keep(self.home, "ngrok", TOKEN)
        self.folder = root / "agent"
        self.path = ngrok_agent.make(self.folder, token=TOKEN)

    async def until(self, true, what):
        """Wait until it is true."""
        end = time.monotonic() + PATIENCE
        while not await true():
            assert time.monotonic() < end, what
            await asyncio.sleep(0.01)  # between two looks

    def tell(self, **script):
        tell(self.folder, token=TOKEN, **script)

    def target(self, deadline=10.0, **options):
        return Target(
            name="t", port=self.app.port, folder=self.root / "t", home=self.home, options={"path": str(self.path), **options}, deadline=deadline
        )

    def agents(self):
        return [one for one in starts(self.folder) if one["argv"][:1] == ["start"]]

    def fails(self, deadline=10.0, **options):
        """Its error when it opens."""
        before = {one.pid for one in psutil.Process().children(recursive=True)}
        with pytest.raises(TunnelError) as caught:
            asyncio.run(Ngrok().open(self.target(deadline, **options)))
        assert not [one for one in psutil.Process().children(recursive=True) if one.pid not in before and one.status() != psutil.STATUS_ZOMBIE]
        assert TOKEN not in str(caught.value)
        assert caught.value.todo
        return caught.value

    def open(self, work, **options):
        async def run():
            session = await Ngrok().open(self.target(**options))
            try:
                return await asyncio.wait_for(work(session), PATIENCE)
            finally:
                await session.close()

        return asyncio.run(run())

    @contextlib.contextmanager
    def plain(self, **more):
        """Pyngrok as its users have it."""
        config = self.root / "plain.yml"
        config.write_text(f'{{"version": "3", "agent": {{"authtoken": "{TOKEN}"}}}}')
        made = PyngrokConfig(**{"ngrok_path": str(self.path), "config_path": str(config), **more})
        try:
            yield made
        finally:
            process.kill_process(str(self.path))


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.delenv("NGROK_AUTHTOKEN", raising=False)
    monkeypatch.setenv("PYNGROK_NGROK_PATH", str(tmp_path / "no-agent"))
    made = Stage(tmp_path)
    yield made
    made.app.close()
    for one in psutil.Process().children(recursive=True):
        one.kill()
