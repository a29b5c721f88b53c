"""This machine's own ports: free ones, and somebody who listens."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Listener:
    """Takes every HTTP request and keeps it, head and all: somebody's webhook, in the event loop of the test."""

    port: int = 0
    answers_get: str = "204 No Content"
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    """Head and body of each."""

    def told(self) -> set[str]:
        """Ids of all messages that came, those in digests included."""
        found: set[str] = set()
        for _, body in self.requests:
            document = json.loads(body) if body else {}
            found |= {part["id"] for part in (document, *document.get("messages", ())) if "id" in part}
        return found

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                length = next(
                    (int(line[15:]) for line in head.lower().split("\r\n") if line[:15] == "content-length:"), 0
                )
                self.requests.append((head, await reader.readexactly(length)))
                status = self.answers_get if head.startswith("GET ") else "204 No Content"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # gone, or killed
        finally:
            writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener._take, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
