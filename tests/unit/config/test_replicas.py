"""``replicas``: what it needs, and what does not go with it."""

from __future__ import annotations

import pytest

from tests.unit.config.test_refusals import refused
from watchdog.config import parse

GATEWAYS = "gateways: [{url: 'wss://gw.example.org'}, {discover: {file: /etc/gateways.json}}]\n"
LEDGER = GATEWAYS + "ledger: 'postgresql://db.example.org/watchdog?sslmode=verify-full'\n"
OWN = LEDGER.removeprefix(GATEWAYS) + "replicas: {}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GATEWAYS + "replicas: {}\n", "replicas share the gateways through a ledger in PostgreSQL, and none is given"),
        (LEDGER + "replicas: {term: 14s}\n", "term (14s) is short"),
        (
            LEDGER + "replicas: {}\ngateway_restart: {command: a, gateway: gw.example.org}\n",
            "gateway_restart is one daemon's business",
        ),
        (OWN, "'local' is found on each replica's own machine, so it would be another gateway for each"),
        (OWN + "gateways: [{discover: local}]\n", "is found on each replica's own machine"),
        (OWN + "gateways: [{name: home}]\n", "'home' is found on each replica's own machine"),
    ],
)
def test_refused(text: str, expected: str) -> None:
    (problem,) = refused(text)
    assert expected in problem


@pytest.mark.parametrize(
    "text",
    ["replicas: {}", "replicas: {name: rack-2, term: 15s}", "replicas: {term: 1s}\nallow_short_thresholds: true"],
)
def test_taken(text: str) -> None:
    assert parse(LEDGER + text, env={}).config.replicas is not None
