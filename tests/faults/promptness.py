"""How soon a deed follows the moment it was allowed: from the log of one gateway, for sessions that nothing ever held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median, quantiles
from typing import Any


def delays(lines: Iterable[Mapping[str, Any]], stuck_after: float) -> list[float]:
    """Seconds from the instant a session had been unattended for ``stuck_after`` to the first deed for it, an incident each.

    What a pass says of any session holds for the moment of the first one that it calls stuck; deeds that it did for others
    before the one that counts come on top.
    """
    eligible: dict[str, float] = {}
    held: set[str] = set()
    found: dict[str, float] = {}
    pass_at: float | None = None
    for line in lines:
        at = datetime.fromisoformat(str(line["timestamp"])).timestamp()
        incident = line.get("incident")
        match line["event"]:
            case "cycle.finished":
                pass_at = None
            case "session.stuck" if incident is not None:
                pass_at = pass_at or at
                eligible[incident] = pass_at - (float(line["unattended_seconds"]) - stuck_after)
            case "recovery.held" if incident is not None:
                held.add(incident)
            case "recovery.started" if incident in eligible and incident not in found:
                found[incident] = max(0.0, at - eligible[incident])
    return [delay for incident, delay in found.items() if incident not in held]


def sentence(found: Sequence[float]) -> str:
    """The figures that count: the middle, and the end that operators meet."""
    if len(found) < 2:
        return f"eligible to acted: {len(found)} never held"
    cuts = quantiles(found, n=100, method="inclusive")
    return (
        f"eligible to acted, {len(found)} never held: median {median(found):.2f} s, p95 {cuts[94]:.2f} s, "
        f"p99 {cuts[98]:.2f} s, most {max(found):.2f} s"
    )
