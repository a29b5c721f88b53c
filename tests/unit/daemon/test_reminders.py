"""A running daemon says again what is still open on the gateways that it watches, and hears of an acknowledgement."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.daemon.test_reload import Desk, desk
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.announcements.phrases import ONLY_OBSERVES
from watchdog.service.events import Event
from watchdog.service.ledger import Quarantine

__all__ = ["desk"]
KEY = "agent:main:nobody"


@pytest.fixture
def told() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A webhook's port, and what it was sent."""
    found: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, found
    server.shutdown()
    thread.join()
    server.server_close()


async def test_what_is_open_where_it_watches_is_said_again_until_it_is_acknowledged(
    desk: Desk, told: tuple[int, list[dict[str, Any]]]
) -> None:
    port, found = told
    now = desk.daemon.parts.clock.now().wall
    with SqliteLedger.open(ledger_path(desk.file.parent / "state")) as ledger:
        for gateway in ("home", "gone"):
            ledger.quarantine(Quarantine(gateway, KEY, "sid", now - timedelta(days=2), "It was tried."))
        target = f"notify: [{{name: phone, url: 'json+http://127.0.0.1:{port}/x', on: quarantined}}]\n"
        desk.file.write_text(desk.text("10m") + target, "utf-8")
        assert (await desk.logged(Event.NOTIFICATION_DELIVERED))["target"] == "phone"
        ledger.acknowledge(at=now, until=None, gateway="home", session=KEY, reason="I know", who="ada")
    said = {"who": "ada", "reason": f"gateway home session {KEY}: I know"}
    assert await desk.logged(Event.OPERATOR_ACKNOWLEDGED) == said
    async with asyncio.timeout(60):
        await desk.daemon.parts.teller.deliver(desk.daemon.parts.clock.now())
    (one,) = found
    assert ONLY_OBSERVES in one["body"], "it runs with --observe"
    assert (one["gateway"], one["session"], one["reminder"], one["severity"]) == ("home", KEY, True, "critical")
