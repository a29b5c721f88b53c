"""Somebody's webhook: an HTTP server in a thread that keeps every message it is sent. In a thread, unlike the one in
``tests.fakes.loopback``: it answers while a test waits for a process."""

from __future__ import annotations

import http.server
import json
import threading
from collections import Counter
from typing import Any

Told = dict[str, Any]


class Webhook:
    """Use as a context manager. ``is_down`` answers 503 to everything, and keeps nothing."""

    def __init__(self) -> None:
        self.is_down = False
        self.refused = 0
        self._told: list[Told] = []
        hook = self

        class Endpoint(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(hook._take(json.loads(body)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True)

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """As it stands under ``notify``."""
        return f"json+http://127.0.0.1:{self._server.server_address[1]}/hook"

    @property
    def told(self) -> list[Told]:
        """Every message, those in digests one by one."""
        return [part for message in list(self._told) for part in message.get("messages", [message])]

    @property
    def deliveries(self) -> int:
        """Requests taken; a digest is one."""
        return len(self._told)

    def kinds(self) -> Counter[str]:
        return Counter(str(message["kind"]) for message in self.told)

    def ids(self) -> Counter[str]:
        """How often each message came."""
        return Counter(str(message["id"]) for message in self.told)

    def of(self, kind: str) -> list[Told]:
        return [message for message in self.told if message["kind"] == kind]

    def _take(self, message: Told) -> int:
        if self.is_down:
            self.refused += 1
            return 503
        self._told.append(message)
        return 204
