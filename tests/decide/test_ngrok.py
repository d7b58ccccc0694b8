"""ngrok's codes have the class that the research gave them, wherever they stand; its agent's lines are understood, unknown ones are no error."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import ngrok
from qcity_nb.decide.ngrok import Sign
from qcity_nb.model.tunnel import Fault

CLASSES = {
    Fault.TOKEN: (4018, 105, 107, 106, 102, 103, 3208),
    Fault.REFUSED: (115, 9040),
    Fault.TOO_OLD: (120, 121),
    Fault.PLAN: (9009, 313, 314, 318, 319, 320, 307, 8013),
    Fault.CONFLICT: (108, 324, 350, 334),
    Fault.QUOTA: (725, 726, 727, 728, 735),
    Fault.LIMITED: (702, 703, 715, 734, 714),
    Fault.NETWORK: (128,),
    Fault.DIED: (3200, 3209),
}
ALL = [(code, fault) for fault, codes in CLASSES.items() for code in codes]
ONLINE = (
    '{"error_code":103,"status_code":502,"msg":"failed to start tunnel","details":{"err":"failed to start tunnel: The endpoint '
    "'https://a.ngrok.app' is already online.\\r\\n\\r\\nERR_NGROK_334\\r\\n\"}}"
)


@pytest.mark.parametrize(("code", "fault"), ALL)
def test_every_code_has_its_class(code, fault):
    found = ngrok.error(f"... ERR_NGROK_{code}\r\n")
    assert found.fault is fault
    assert f"ERR_NGROK_{code}" in found.what
    assert found.todo
    assert "\n" not in str(found)
    assert found.retry_after == (60.0 if fault is Fault.LIMITED else None)
    assert found.permanent == fault.lasting


def test_no_code_is_without_a_class():
    assert set(ngrok.MEANINGS) == {code for code, _ in ALL}
    assert not set(ngrok.MEANINGS) & (ngrok.APP_DOWN | ngrok.INTERSTITIAL)


@pytest.mark.parametrize(
    ("texts", "headers", "code"),
    [
        ((ONLINE,), {}, 334),
        (("nothing", 'lvl=eror msg="session closing" err="limited\\r\\n\\r\\nERR_NGROK_108\\r\\n"'), {}, 108),
        (("<html>",), {"Ngrok-Error-Code": "ERR_NGROK_8012"}, 8012),
        (("ERR_NGROK_108",), {"ngrok-error-code": "ERR_NGROK_3200"}, 3200),
        (('{"error_code":104,"status_code":503,"msg":"ngrok is not yet ready"}',), {}, ngrok.NOT_READY),
        (('{"error_code": 103, "msg": "a code of the agent itself, not that of a suspended account"}',), {}, None),
        (("",), {}, None),
    ],
)
def test_a_code_is_found_in_a_body_a_line_and_a_header(texts, headers, code):
    assert ngrok.code(*texts, headers=headers) == code


def test_a_code_that_nobody_knows_is_still_said():
    found = ngrok.error("ERR_NGROK_99999")
    assert found.fault is Fault.OTHER
    assert "ERR_NGROK_99999" in found.what
    assert not found.permanent


def test_no_code_is_no_error():
    assert ngrok.error("all is well") is None
    assert ngrok.error('{"error_code":104}') is None


@pytest.mark.parametrize(
    ("line", "sign", "text"),
    [
        ('t=2026-01-01T00:00:00+0000 lvl=info msg="starting web service" obj=web addr=127.0.0.1:4040 allow_hosts=[]', Sign.WEB, "127.0.0.1:4040"),
        ('t=a lvl=info msg="client session established" obj=tunnels.session', Sign.ESTABLISHED, ""),
        ('t=a lvl=info msg="tunnel session started" obj=tunnels.session', Sign.ESTABLISHED, ""),
        ('t=a lvl=eror msg="session closed, starting reconnect loop" obj=csess err="session closed"', Sign.CLOSED, "session closed"),
        ('t=a lvl=eror msg="heartbeat timeout, terminating session" obj=csess clientid=1', Sign.HEARTBEAT, "heartbeat timeout, terminating session"),
        ('t=a lvl=eror msg="failed to reconnect session" obj=csess err="dial tcp: \\"x\\"\\nmore"', Sign.RECONNECTING, 'dial tcp: "x" more'),
        ('t=a lvl=info msg="started tunnel" obj=tunnels name=a addr=http://b url=https://a.ngrok.app', Sign.ONLINE, "https://a.ngrok.app"),
        ('t=a lvl=crit msg="command failed" err="no"', Sign.ERROR, "no"),
        ("ERROR:  ERR_NGROK_4018", Sign.ERROR, "ERR_NGROK_4018"),
    ],
)
def test_lines_of_the_log(line, sign, text):
    assert ngrok.event(line) == ngrok.Event(sign=sign, text=text)


@pytest.mark.parametrize("line", ["", "ERROR:  ", 't=a lvl=info msg="update available"', 'lvl=warn msg="ngrok config file is old"', '"'])
def test_other_lines_mean_nothing(line):
    assert ngrok.event(line) is None


@given(st.text())
def test_no_line_is_too_odd(line):
    ngrok.event(line)
    ngrok.error(line)
    ngrok.support(line, date(2026, 1, 1))


@pytest.mark.parametrize(
    ("version", "today", "said"),
    [
        ("2.3.41", date(2026, 11, 1), "too old for endpoints"),
        ("3.3.1", date(2023, 6, 1), ""),
        ("3.3.1", date(2024, 5, 20), "support ends soon: ngrok update"),
        ("3.3.1", date(2026, 11, 1), "out of support"),
        ("3.39.8", date(2026, 11, 1), ""),
        ("3.60.0", date(2030, 1, 1), ""),
        ("no version", date(2026, 11, 1), ""),
    ],
)
def test_what_is_known_of_a_version_s_support(version, today, said):
    assert ngrok.support(version, today) == said
