"""What the status page's connections are held to. Values only: uvicorn is not imported for them."""

from __future__ import annotations

from dataclasses import dataclass

from watchdog.service import descriptors

MOST_CONNECTIONS = 100
"""Open at once; fewer where the process may open little: about an eighth of its descriptors is the page's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What connections are held to; see ``connections``. Seconds."""

    most: int = MOST_CONNECTIONS
    request_within: float = 10.0
    """For a whole request, from the first moment of a connection or from the last answer on."""
    read_within: float = 30.0
    """For the other side to take an answer, or to catch up with an event stream."""

    @classmethod
    def here(cls) -> Limits:
        """For what this process may open."""
        limit = descriptors.limit()
        return cls() if limit is None else cls(most=max(8, min(MOST_CONNECTIONS, limit // 8)))
