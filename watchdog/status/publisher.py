"""The status page inside the daemon: what it shows, when it is renewed, and where it listens.

Invariant: whatever goes wrong here is one log line and never stops the watching. The ledger is read through a connection
of its own, so that looking at the page can neither hold up nor swallow anything a pass must learn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from watchdog import __version__
from watchdog.config import LoadedConfig
from watchdog.core.model import GatewayPhase, Moment
from watchdog.ledger.ledger import SqlLedger
from watchdog.service.errors import LedgerError, PassFailed
from watchdog.service.events import Event, Log
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Clock, Meter
from watchdog.service.redaction import Secrets
from watchdog.service.shares import Shares
from watchdog.service.watch import Watch
from watchdog.status.availability import FILE, Availability
from watchdog.status.document import Life, Record, WatchView, build, read_record, replicas_of, view_of
from watchdog.status.metrics import PrometheusMeter
from watchdog.status.model import document
from watchdog.status.server import Document, Feed, Health, PageUnavailable, StatusServer

RENEW_EVERY = 2.0
"""Seconds after which the state is built again while somebody watches: a pause by hand shows before the next pass."""
TRY_AGAIN_AFTER = 30.0
"""Seconds until an address that could not be had is tried again."""
ADDRESS_FILE = "status-page.url"
"""Beside the ledger, while the page is served on a port that the system chose (``listen: host:0``)."""

Watches = Callable[[], Sequence[Watch]]
NotWatched = Callable[[], Mapping[str, str]]
"""Why gateways of the configuration are not watched, by name."""


@dataclass(slots=True)
class PagePublisher:
    """Implements ``server.Facts``. ``open`` starts it, ``configure`` follows a reload, ``close`` ends it."""

    loaded: LoadedConfig
    ledger: SqlLedger
    clock: Clock
    log: Log
    meter: Meter
    secrets: Secrets
    is_observing: bool = False
    shares: Shares | None = None
    """This replica's part of the gateways; None: all are this daemon's."""
    retry_after: float = TRY_AGAIN_AFTER
    _watches: Watches = field(default=tuple)
    _not_watched: NotWatched = field(default=dict)
    _are_passing: Callable[[], bool] = field(default=lambda: True)
    _list_problems: Callable[[], Sequence[str]] = field(default=tuple)
    _began: Moment = field(init=False)
    _last_cycle: Moment | None = None
    _looked_at: set[str] = field(default_factory=set)
    """Gateways that a pass was made over, or found to be away; a pass that a defect of ours ended is none."""
    _seen: dict[str, tuple[Watch, PassReport]] = field(default_factory=dict)
    _availability: Availability = field(init=False)
    _feed: Feed = field(default_factory=Feed)
    _server: StatusServer | None = None
    _reader: SqlLedger | None = None
    _task: asyncio.Task[None] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _told: str | None = None
    _tried: Moment | None = None

    def __post_init__(self) -> None:
        self._began = self.clock.now()
        folder = self.ledger.folder
        self._availability = Availability(folder / FILE if folder is not None else None)

    # ------------------------------------------------------------ life

    async def open(
        self,
        watches: Watches,
        not_watched: NotWatched = dict,
        are_passing: Callable[[], bool] = lambda: True,
        list_problems: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Begin to serve, if the configuration wants it. ``are_passing``: whether every gateway's passes go on;
        ``list_problems``: what of the lists of gateways cannot be used."""
        self._began, self._watches, self._not_watched = self.clock.now(), watches, not_watched
        self._are_passing, self._list_problems = are_passing, list_problems
        self._name_gateways()
        await self._serve()
        self._task = asyncio.create_task(self._run(), name="page")

    async def configure(self, loaded: LoadedConfig) -> None:
        """Take over another configuration; the page moves only when its address changed."""
        before, self.loaded = self.loaded.config.status_page, loaded
        self._name_gateways()
        if before != loaded.config.status_page:
            await self._end_serving()
            self._told = None
            await self._serve()
        self._wake.set()

    async def close(self) -> None:
        """Stop serving. Never raises."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end_serving()
        self._availability.write(self.clock.now().wall)
        if self._reader is not None and self._reader is not self.ledger:
            self._reader.close()
        self._reader = None

    def note(self, report: PassReport) -> None:
        """A pass has ended."""
        if not isinstance(report.error, PassFailed):
            self._looked_at.add(report.gateway)
        is_theirs = not isinstance(report.error, PassFailed) and report.phase is not GatewayPhase.UNKNOWN
        answered = report.is_good if is_theirs else None
        self._availability.note(report.gateway, report.at.wall, answered=answered)
        watch = next((one for one in self._watches() if one.gateway.name == report.gateway), None)
        if report.is_good and watch is not None:
            self._seen[report.gateway] = (watch, report)
            self._last_cycle = self.clock.now()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            if self._feed.listeners:
                self._publish()
            if self._server is not None and (problem := self._server.problem) is not None:
                await self._end_serving()
                self._say_unavailable(problem)
            if self._server is None and self._is_due():
                await self._serve()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_EVERY):
                    await self._wake.wait()

    def _publish(self) -> None:
        try:
            self._feed.publish(self.document())
        except Exception as defect:  # noqa: BLE001 - a defect in showing must not stop what is shown
            self._say_unavailable(f"the state could not be put together ({type(defect).__name__}: {defect})")

    # ------------------------------------------------------------ serving

    async def _serve(self) -> None:
        section = self.loaded.config.status_page
        if section is None:
            return
        self._tried = self.clock.now()
        feed = Feed()
        try:
            server = await StatusServer.start(section.host, section.port, self, feed, further=section.hosts)
        except PageUnavailable as problem:
            self._say_unavailable(str(problem))
            return
        except Exception as defect:  # noqa: BLE001 - the watching goes on without a page
            self._say_unavailable(f"the page could not be served ({type(defect).__name__}: {defect})")
            return
        self._server, self._feed, self._told = server, feed, None
        self._write_address(server.url if section.port == 0 else None)
        self.log.event(Event.STATUS_PAGE_LISTENING, url=server.url)

    async def _end_serving(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
            self._write_address(None)

    def _is_due(self) -> bool:
        if self.loaded.config.status_page is None:
            return False
        return self._tried is None or self.clock.now().since(self._tried).total_seconds() >= self.retry_after

    def _say_unavailable(self, problem: str) -> None:
        """Once per reason: it is tried again quietly."""
        if problem != self._told:
            self._told = problem
            self.log.event(Event.STATUS_PAGE_UNAVAILABLE, reason=problem, next_try_in=round(self.retry_after))

    def _write_address(self, url: str | None) -> None:
        if self.ledger.folder is None:
            return
        path = address_file(self.ledger.folder)
        with contextlib.suppress(OSError):
            if url is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(f"{url}\n", "utf-8")

    def _name_gateways(self) -> None:
        if isinstance(self.meter, PrometheusMeter):
            without = self._not_watched()
            names = [section.name for section in self.loaded.config.gateways]
            if self.shares is not None:  # another replica tells of the others
                names = [watch.gateway.name for watch in self._watches()]
                self.meter.share(sum(one.is_here for one in self.shares.fleet.replicas), self.shares.held)
            self.meter.watch_gateways(name for name in names if name not in without)

    # ------------------------------------------------------------ facts

    def document(self) -> Document:
        now = self.clock.now()
        by_name = {watch.gateway.name: watch for watch in self._watches()}
        watches = [by_name[one.name] for one in self.loaded.config.gateways if one.name in by_name]
        sights = [
            replace(
                view_of(watch, self._seen_by(watch)),
                availability=self._availability.view(watch.gateway.name, now.wall),
            )
            for watch in watches
        ]
        sights += [
            WatchView(name, self.loaded.policy_book, not_watched=why)
            for name, why in sorted(self._not_watched().items())
        ]
        every = [section.name for section in self.loaded.config.gateways]
        replicas, unwatched = replicas_of(self.shares, every) if self.shares is not None else ((), ())
        life = Life(
            version=__version__,
            pid=os.getpid(),
            started_at=self._began.wall,
            poll_every=self.loaded.config.poll_every,
            is_observing=self.is_observing,
            last_cycle_at=self._last_cycle.wall if self._last_cycle is not None else None,
            ledger_problem=next((one.ledger_problem for one in watches if one.ledger_problem is not None), None),
            config_file=str(self.loaded.to_name) if self.loaded.to_name is not None else None,
            list_problems=self._list_problems(),
            replicas=replicas,
            unwatched=unwatched,
        )
        try:
            record = read_record(self._readable(), sights, now.wall)
        except LedgerError as problem:
            record = Record(problem=str(problem))
        return document(build(life, sights, record, now.wall), self.secrets.scrub)

    def liveness(self) -> Health:
        """Well as long as passes end, answered or not: a gateway's outage must not get the watchdog restarted."""
        is_ok = self._are_passing()
        silent = self.clock.now().since(self._last_cycle or self._began)
        facts = {
            "status": "ok" if is_ok else "stuck",
            "last_cycle_at": self._last_cycle.wall.isoformat() if self._last_cycle is not None else None,
            "silent_seconds": round(silent.total_seconds(), 1),
        }
        if not is_ok:
            facts["problem"] = "The passes over a gateway no longer end; the log may say why. A restart is safe."
        return Health(is_ok, facts)

    def readiness(self) -> Health:
        """Well once every watched gateway was looked at, or found to be away."""
        waited_for = sorted({watch.gateway.name for watch in self._watches()} - self._looked_at)
        facts: dict[str, object] = {"status": "starting" if waited_for else "ok", "waited_for": waited_for}
        return Health(not waited_for, facts)

    def metrics(self) -> bytes:
        return self.meter.render() if isinstance(self.meter, PrometheusMeter) else b""

    def _seen_by(self, watch: Watch) -> PassReport | None:
        kept, report = self._seen.get(watch.gateway.name, (None, None))
        return report if kept is watch else None

    def _readable(self) -> SqlLedger:
        if self._reader is None:
            self._reader = self.ledger.reader()
        return self._reader


def address_file(state_dir: Path) -> Path:
    """Where a running daemon writes the address of a page on a port that the system chose."""
    return state_dir / ADDRESS_FILE
