"""What cloudflared prints before it ends has a class; lines that nobody has seen are no error."""

from __future__ import annotations

import pytest

from qcity_nb.decide import cloudflared, providers
from qcity_nb.model.tunnel import Fault

STAMP = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("line", "fault", "after"),
    [
        (f'{STAMP} ERR Error unmarshaling QuickTunnel response: error code: 1015 error="invalid character" status_code="429"', Fault.LIMITED, 60.0),
        (f"{STAMP} ERR failed to parse quick Tunnel ID: invalid UUID length: 0", Fault.LIMITED, 60.0),
        ("--url cannot be used with ingress rules of a configuration file", Fault.REFUSED, None),
        ("Incorrect Usage: flag provided but not defined: -metrics", Fault.TOO_OLD, None),
        (f"{STAMP} ERR Error opening metrics server listener: listen tcp 127.0.0.1:1: bind: address already in use", Fault.CONFLICT, 0.0),
        ('failed to request quick Tunnel: Post "https://a/tunnel": dial tcp: lookup a: no such host', Fault.NETWORK, None),
        (f"{STAMP} ERR Failed to dial a quic connection error=timeout: no recent network activity", Fault.NETWORK, None),
    ],
)
def test_last_words_have_a_class(line, fault, after):
    found = cloudflared.error([f"{STAMP} INF Requesting new quick Tunnel on trycloudflare.com...", line, f"{STAMP} INF bye"])
    assert found.fault is fault
    assert found.retry_after == after
    assert found.todo
    assert STAMP not in found.what
    assert "\n" not in str(found)


def test_the_service_s_word_goes_before_the_network_s():
    assert cloudflared.error(["ERR connection refused", "ERR status_code=429"]).fault is Fault.LIMITED


def test_other_lines_are_no_error():
    lines = [f"{STAMP} INF Version 2025.9.0", f"{STAMP} WRN ICMP proxy is off."]
    assert cloudflared.error(lines) is None
    assert cloudflared.last_words(lines) == "ICMP proxy is off"
    assert cloudflared.last_words(lines[:1]) == ""


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.8.0.1:80", True), ("localhost", True), ("a.localhost:1", True), ("::1", True), ("[::1]", True), ("a.example", False)],
)
def test_loopback_is_told_apart(host, here):
    assert providers.is_loopback(host) == here
