"""`qcity dns` in real processes, against a real BIND: the key, a credential, what a pointer says, the dead man's switch."""

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.cli import main
from qcity_nb.io import secrets, signing
from qcity_nb.kinds.dns import records
from qcity_nb.kinds.followers import carry
from qcity_nb.model.home import Home
from qcity_nb.testing.named import NAME, ZONE, Named

pytestmark = pytest.mark.real
pytest.importorskip("dns", reason="dnspython is in the extra tunnel")
pytest.importorskip("cryptography", reason="it signs the pointers")


@pytest.fixture
def named():
    with Named() as servers:
        yield servers


@pytest.fixture
def home(tmp_path, named):
    home = Home(tmp_path / "home")
    secrets.keep(home, "tsig", named.key)
    return home


@pytest.fixture
def qcity(home, named, capsys):
    def run(*args):
        code = main([*args, "--home", str(home.root)])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run


def options(named):
    return ["--option", f"server={named.primary}", "--option", "key=tsig"]


def test_a_credential_comes_on_standard_input_and_is_never_shown(tmp_path):
    program = "import sys; from qcity_nb.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "dns", "secret", "tsig", "--home", str(tmp_path)]
    done = subprocess.run(command, input="hmac-sha256:runner:c2VjcmV0\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tsig is kept (fingerprint ")
    assert "c2VjcmV0" not in done.stdout + done.stderr
    assert secrets.load(Home(tmp_path), "tsig") == "hmac-sha256:runner:c2VjcmV0"
    assert (tmp_path / "secrets" / "tsig").stat().st_mode & 0o777 == 0o600


def test_what_a_pointer_says_and_whether_it_is_live(qcity, home, named):
    code, said, _ = qcity("dns", "key")
    assert (code, said) == (0, signing.public_key(home))
    code, said, _ = qcity("dns", "show", NAME, *options(named))
    assert (code, said) == (1, f"{NAME} says nothing.")
    done = carry(named.pointer(), tunnel="app", url="https://a.example", generation=3, home=home, last=None, now=datetime.now(timezone.utc))
    assert done.ok, done
    code, said, _ = qcity("dns", "show", NAME, *options(named))
    assert code == 0
    assert "app at https://a.example, generation 3; good for" in said
    code, said, _ = qcity("dns", "show", NAME, *options(named), "--key", "A" * 43)
    assert (code, said) == (1, f"{NAME} is forged: nothing that it says can be trusted.")
    ended = carry(named.pointer(), tunnel="app", url="", generation=3, home=home, last=done, now=datetime.now(timezone.utc))
    assert ended.ok
    code, said, _ = qcity("dns", "show", NAME, *options(named))
    assert code == 1
    assert "is expired since" in said


def test_the_dead_mans_switch_by_a_command(qcity, home, named, tmp_path):
    runner = Home(tmp_path / "runner")
    secrets.keep(runner, "tsig", named.key)
    asked = ["dns", "watch", NAME, *options(named), "--record", f"app.{ZONE}", "--fallback", "192.0.2.9"]
    code, _, error = qcity(*asked)
    assert (code, "needs the key of the runner" in error) == (2, True)
    asked += ["--key", signing.public_key(runner)]
    now = datetime.now(timezone.utc)
    done = carry(named.pointer(), tunnel="app", url="https://a.example", generation=4, home=runner, last=None, now=now - timedelta(hours=1))
    assert done.ok, done
    code, said, error = qcity(*asked)
    assert (code, said[:23]) == (0, "The lease has lapsed: a"), error
    assert records("rfc2136").record(named.pointer(), f"app.{ZONE}", "A", home=home) == "192.0.2.9"
    code, said, _ = qcity(*asked)
    assert (code, said) == (0, f"Nothing is to be done: the pointer is expired, app.{ZONE} leads to 192.0.2.9.")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["show", NAME, "--kind", "freenom"], 1, "Freenom ended"),
        (["show", NAME, "--kind", "nothing"], 2, 'no kind "nothing" of dns'),
        (["show", NAME], 2, "needs the zone's primary server"),
        (["show", NAME, "--option", "x"], 2, '"x" is no option'),
        (["show", "no name", "--option", "server=127.0.0.1"], 2, "is no name in the DNS"),
        (["watch", NAME, "--record", "a", "--fallback", "b", "--key", "k", "--kind", "duckdns"], 2, "no name at DuckDNS"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(qcity, args, code, says):
    done, out, error = qcity("dns", *args)
    assert (done, out) == (code, "")
    assert says in error
    assert "Traceback" not in error
