"""The figures Prometheus scrapes: the ``Meter`` port over prometheus-client, in a registry of its own.

Names and labels are the contract's; dashboards and alerts are tested against them. Every label value comes from a closed
set or is a configured gateway's name: a word nobody knows is counted as ``other``, and what belongs to a gateway goes away
with it. Series appear when first counted: with a zero for whatever could be, each gateway would have seventy. The states that a
deed can end in start at zero when the first one of that step is begun there, so that ``increase()`` sees its end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from watchdog.core.blockers import BlockerName
from watchdog.core.leases import SHARDS
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.core.verdict import Verdict
from watchdog.service.events import Delivery

NAMESPACE = "openclaw_watchdog"
OTHER = "other"
POLL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DELAY_BUCKETS = (5, 15, 30, 60, 120, 300, 600, 900, 1200, 1260, 1320, 1500, 1800, 2700, 3600, 7200)
"""A poll or two late is usual (30 s by default); the long tail is a gateway that was away or could not be trusted."""

_ENDS = [state for state in AttemptState if state not in (AttemptState.PLANNED, AttemptState.STARTED)]


class PrometheusMeter:
    """Implements ``Meter``. One per process; ``render`` is the body of ``/metrics``."""

    def __init__(self, version: str, registry: CollectorRegistry | None = None) -> None:
        # The library's *_created series double every counter and are in nobody's dashboard. The switch is global; so are we.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry if registry is not None else CollectorRegistry()
        self._gateways: set[str] | None = None
        self._series: dict[Gauge | Counter, set[tuple[str, ...]]] = {}

        self._sessions = self._gauge("sessions", "Sessions by verdict in the last whole poll.", "gateway", "verdict")
        self._poll = self._histogram("poll_seconds", "How long a poll of a gateway took.", POLL_BUCKETS)
        self._poll_bytes = self._counter("poll_bytes", "Bytes of session lists read.")
        self._last_cycle = self._gauge("last_cycle_timestamp_seconds", "When the last cycle was completed (Unix time).")
        self._up = self._gauge("gateway_up", "1 while the gateway answers and lets us in.", "gateway")
        self._incidents = self._gauge("incidents_open", "Sessions that are stuck now.", "gateway")
        self._attempts = self._counter(
            "attempts", "Recovery attempts by step and the state they reached.", "gateway", "step", "state"
        )
        self._held = self._counter("held", "Deeds held back, by each reason that held.", "gateway", "blocker")
        self._quarantined = self._gauge("quarantined", "Sessions given up until somebody releases them.", "gateway")
        self._delay = self._histogram(
            "detection_delay_seconds",
            "From when a session could be called stuck (stuck_after) until it was.",
            DELAY_BUCKETS,
        )
        self._shares: tuple[Gauge, Gauge] | None = None
        self._notifications = self._counter("notifications", "Messages to the operator by how delivery ended.", "state")
        build = self._gauge("build_info", "Always 1; the label says which version runs.", "version")

        build.labels(version).set(1)
        for state in Delivery:
            self._notifications.labels(state.value)
        ProcessCollector(registry=self.registry)

    # ------------------------------------------------------------ the Meter port

    def polled(self, gateway: str, seconds: float, size_bytes: int) -> None:  # noqa: ARG002 - the contract has no label here
        self._poll.observe(seconds)
        self._poll_bytes.inc(size_bytes)

    def gateway_up(self, gateway: str, *, is_up: bool) -> None:
        self._set(self._up, is_up, gateway)

    def sessions(self, gateway: str, verdicts: Mapping[str, int]) -> None:
        counts = dict.fromkeys((verdict.value for verdict in Verdict), 0)
        for word, count in verdicts.items():
            known = _known(word, Verdict)
            counts[known] = counts.get(known, 0) + count
        for word, count in counts.items():
            self._set(self._sessions, count, gateway, word)
        if OTHER not in counts and (gateway, OTHER) in self._series.get(self._sessions, ()):
            self._drop(self._sessions, lambda labels: labels == (gateway, OTHER))

    def cycle_completed(self, at: datetime) -> None:
        self._last_cycle.set(at.timestamp())

    def incidents_open(self, gateway: str, count: int) -> None:
        self._set(self._incidents, count, gateway)

    def quarantined(self, gateway: str, count: int) -> None:
        self._set(self._quarantined, count, gateway)

    def attempt(self, gateway: str, step: str, state: str) -> None:
        self._count(self._attempts, 1, gateway, _known(step, Step), _known(state, AttemptState))
        if state == AttemptState.STARTED:
            for end in _ENDS:
                self._count(self._attempts, 0, gateway, _known(step, Step), end.value)

    def held(self, gateway: str, blocker: str) -> None:
        self._count(self._held, 1, gateway, _known(blocker, BlockerName))

    def detection_delay(self, seconds: float) -> None:
        self._delay.observe(max(0.0, seconds))

    def notification(self, state: str) -> None:
        self._notifications.labels(_known(state, Delivery)).inc()

    # ------------------------------------------------------------ beyond the port

    def share(self, replicas: int, shards: int) -> None:
        """How many replicas are here, and how many shards this one holds. Without a call there are no such series."""
        if self._shares is None:
            self._shares = (
                self._gauge("replicas", "Replicas that share the gateways, by their heartbeat."),
                self._gauge("shards", f"Of {SHARDS + 1} shards those that this replica holds."),
            )
        for gauge, count in zip(self._shares, (replicas, shards), strict=True):
            gauge.set(count)

    def watch_gateways(self, names: Iterable[str]) -> None:
        """Exactly these gateways are configured now: all series of others are dropped.

        Called at start-up and after a reload. Until the first call any gateway's name is taken."""
        gateways = self._gateways = set(names)
        for metric in list(self._series):
            self._drop(metric, lambda labels: labels[0] not in gateways)

    def render(self) -> bytes:
        """The text exposition format; serve it as ``server.METRICS_TYPE``. Takes seconds where there are thousands of gateways,
        and may be called from another thread."""
        return generate_latest(self.registry)

    # ------------------------------------------------------------ series

    def _takes(self, gateway: str) -> bool:
        # A poll that was under way while its gateway was removed must not bring the series back.
        return self._gateways is None or gateway in self._gateways

    def _set(self, metric: Gauge, value: float, gateway: str, *labels: str) -> None:
        if self._takes(gateway):
            self._series.setdefault(metric, set()).add((gateway, *labels))
            metric.labels(gateway, *labels).set(value)

    def _count(self, metric: Counter, by: float, gateway: str, *labels: str) -> None:
        if self._takes(gateway):
            self._series.setdefault(metric, set()).add((gateway, *labels))
            metric.labels(gateway, *labels).inc(by)

    def _drop(self, metric: Gauge | Counter, is_stale: Callable[[tuple[str, ...]], bool]) -> None:
        for labels in [labels for labels in self._series.get(metric, ()) if is_stale(labels)]:
            metric.remove(*labels)
            self._series[metric].discard(labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=NAMESPACE, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Collection[float]) -> Histogram:
        return Histogram(name, text, namespace=NAMESPACE, registry=self.registry, buckets=tuple(buckets))


def _known(word: str, words: type[StrEnum]) -> str:
    return word if word in words._value2member_map_ else OTHER
