"""Builds everything a daemon, or one verb, needs out of a loaded configuration."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import platformdirs

from watchdog import PROGRAM
from watchdog.adapters.clock import SystemClock
from watchdog.adapters.host import LocalHost
from watchdog.adapters.notes import HandoffNotes
from watchdog.adapters.sd_notify import Supervisor
from watchdog.config import GatewaySection, LoadedConfig, load, resolve_secret
from watchdog.config.references import passwords_in
from watchdog.core.leases import LeaseTiming
from watchdog.core.policy import Step
from watchdog.daemon.endpoints import EndpointFinder, url_of
from watchdog.daemon.places import places_of
from watchdog.discovery.every_gateway import EveryGateway
from watchdog.discovery.local_gateways import LocalGateways
from watchdog.discovery.machine import Machine
from watchdog.discovery.target_lists import TargetLists
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.identity import DeviceIdentity, DeviceTokens, IdentityError, is_device_token
from watchdog.gateway_restart.restarts import Restarts
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.notify.notifications import Notifications
from watchdog.replay.recorded_gateway import recorded
from watchdog.replay.recordings import Recordings, recordings_folder
from watchdog.service.errors import WatchdogError
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Notes
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Clock, Meter
from watchdog.service.redaction import Secrets
from watchdog.service.secret import Secret
from watchdog.service.shares import Shares
from watchdog.service.tenure import Tenure
from watchdog.service.watch import Watch, may_act
from watchdog.status.publisher import PagePublisher


async def _nothing(_report: PassReport) -> None: ...


@dataclass(slots=True)
class Parts:
    """A whole watchdog, ready to run."""

    loaded: LoadedConfig
    """With a section of its own for every gateway that one with ``discover`` stands for."""
    written: LoadedConfig
    """As the file has it."""
    gateways: EveryGateway
    watches: Sequence[Watch]
    ledger: SqlLedger
    spare: SqlLedger
    """One for all watches, those of a later configuration too. See ``LedgerSwitch.spare``."""
    clock: Clock
    log: Log
    meter: Meter
    teller: Notifications
    supervisor: Supervisor
    page: PagePublisher
    restarts: Restarts
    build_watches: Callable[[LoadedConfig, set[str]], Sequence[Watch]]
    """Watches for the named gateways of a configuration read later."""
    read_again: Callable[[], LoadedConfig]
    """The configuration as it is on disk now, as the file has it. Raises ``ConfigError``."""
    recordings: Recordings
    note_files: HandoffNotes
    """In the state folder; with a ledger in PostgreSQL what was saved there before it."""
    shares: Shares | None = None
    """This replica's part of the gateways; None: all of them are this daemon's."""
    is_observing: bool = False
    after_pass: Callable[[PassReport], Awaitable[None]] = _nothing

    def close(self) -> None:
        self.recordings.close()
        self.ledger.close()
        self.spare.close()


class Identity:
    """The watchdog's own keys and the tokens issued to them, in its state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.device = DeviceIdentity.load_or_create(state_dir / "device.pem")
        # For the write-only `sessions.abort` probe (`Capabilities.has_abort_probe`): the same device as the one that started a
        # run may abort it, another one is refused (3.24, 5.18).
        self.probe_device = DeviceIdentity.load_or_create(state_dir / "probe-device.pem")
        self.tokens = DeviceTokens(state_dir / "device-tokens.json")

    def keep_token(self, url: str, scopes: tuple[str, ...], token: str) -> None:
        """Remember a token the gateway issued to this device; nothing, if it is none (``is_device_token``)."""
        self.tokens.save(url, self.device.device_id, "operator", scopes, Secret(token))

    def note_let_in(self, url: str) -> None:
        """Remember that this device was let in there. Where that cannot be written it will count as not known again."""
        with contextlib.suppress(IdentityError):
            self.tokens.note_let_in(url, self.device.device_id)


class StateFolderUnusable(WatchdogError):
    """There is nowhere to keep the ledger and the device key."""


def state_folder(loaded: LoadedConfig, env: Mapping[str, str]) -> Path:
    """Where ledger and keys live: ``state_dir`` of the file, systemd's ``$STATE_DIRECTORY``, the platform's folder.

    Raises ``StateFolderUnusable`` where no home is known."""
    if loaded.config.state_dir is not None:
        return Path(loaded.config.state_dir)
    if env.get("STATE_DIRECTORY"):
        return Path(env["STATE_DIRECTORY"].split(":")[0])
    folder = None
    with contextlib.suppress(RuntimeError):
        folder = Path(platformdirs.user_state_dir(PROGRAM))
    if folder is None or not folder.is_absolute():  # platformdirs 4.3 leaves the ~ of somebody without a home as it is
        raise StateFolderUnusable(
            "no home folder is known here (HOME is not set, and this user has no account), so there is no place for the "
            "ledger; set HOME, or state_dir to a folder this user may write"
        )
    return folder


def home_folder(env: Mapping[str, str]) -> Path:
    """Whose OpenClaw is meant. Nobody's, where none is known: a container's user without an account, without HOME."""
    try:
        return Path(env.get("HOME") or Path.home())
    except RuntimeError:
        return Path("/nonexistent")


def ledger_place(loaded: LoadedConfig, env: Mapping[str, str], clock: Clock | None = None) -> LedgerPlace:
    """What ``ledger`` of the configuration says: a database, or the file in the state folder.

    Raises ``StateFolderUnusable``, and ``SecretError`` for a variable that is not set."""
    url = resolve_secret(loaded.config, "ledger", env)
    return LedgerPlace(state_folder(loaded, env), clock or SystemClock(), url)


def make_state_folder(state_dir: Path) -> Path:
    """The folder, 0700. Raises ``StateFolderUnusable``."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise StateFolderUnusable(
            f"the state folder {state_dir} cannot be made ({reason}); set state_dir to a folder this user may write"
        ) from problem
    return state_dir


def notes_in(place: LedgerPlace) -> Callable[[SqlLedger], Notes]:
    """Where handoff notes are kept, of a ledger at ``place`` as one watch has it."""
    if place.url is None:
        files = HandoffNotes(place.folder)
        return lambda _: files
    return lambda ledger: ledger.note_texts


@dataclass(slots=True)
class Builder:
    """Builds clients and watches from one loaded configuration and one environment."""

    loaded: LoadedConfig
    env: Mapping[str, str]
    log: Log
    meter: Meter
    clock: Clock = field(default_factory=SystemClock)
    host: LocalHost = field(default_factory=LocalHost)
    secrets: Secrets = field(default_factory=Secrets)
    """What must never be shown; every secret is added as it is read."""
    tmp_dirs: tuple[Path, ...] | None = None
    """Where gateways before 2026.9 keep their locks; None: TMPDIR of ``env``, then ``/tmp``."""

    machine: Machine = field(init=False)
    _said: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        home = home_folder(self.env)
        self.machine = Machine(self.env, home, self.host, self.tmp_dirs, self._say_foreign)

    def _say_foreign(self, reason: str) -> None:
        """What was found and is not used because of whose it is: once in a life, however often it is found."""
        if reason not in self._said:
            self._said.add(reason)
            self.log.event(Event.CONFIG_REFUSED, reason=reason, in_force="everything else that was found")

    def every_gateway(self) -> EveryGateway:
        """What ``discover`` stands for, not looked for yet."""
        lists = TargetLists(self.env, self.host, self.clock, self.log)
        return EveryGateway(lists, LocalGateways(self.machine.everything, self.clock, self.log))

    def finder(self, section: GatewaySection, identity: Identity) -> EndpointFinder:
        return EndpointFinder(
            section,
            machine=self.machine,
            device=identity.device,
            tokens=identity.tokens,
            on_secret=self.secrets.add,
        )

    def client(
        self,
        section: GatewaySection,
        identity: Identity,
        steps: frozenset[Step],
        configured: frozenset[Step] | None = None,
    ) -> GatewayClient:
        """A client that signs in for ``steps``; with none it can only look. Where this device is not known, all that the
        configuration may ask for (``configured``; None: the one of this builder) is asked for, whoever signs in first: what is
        approved then, silently or by a person, is enough for all of our programs."""
        if configured is None:
            configured = may_act(self.loaded.policy_book, section.name)
        return GatewayClient(
            section.name,
            self.finder(section, identity),
            device=identity.device,
            probe_device=identity.probe_device,
            clock=self.clock,
            host=self.host,
            secrets=self.secrets,  # guard: secret: a gateway's words are read with what is secret here
            steps=steps,
            configured=steps | configured,
            on_device_token=self._token_keeper(section.name, identity),
            on_let_in=identity.note_let_in,
            on_repair=lambda method: self.log.event(
                Event.GATEWAY_TEXT_REPAIRED,
                gateway=section.name,
                reason=f"its answer to {method} held text that is no Unicode, such as half an emoji; read with \ufffd in its place",
            ),
        )

    def _token_keeper(self, gateway: str, identity: Identity) -> Callable[[str, tuple[str, ...], str], None]:
        """``Identity.keep_token``, that says once what is not kept."""
        is_said = False

        def keep(url: str, scopes: tuple[str, ...], token: str) -> None:
            nonlocal is_said
            if not is_device_token(token) and not is_said:
                is_said = True
                reason = (
                    f"the device token that it issues ({len(token)} characters) is none that a gateway issues; not kept"
                )
                self.log.event(Event.GATEWAY_UNHEALTHY, gateway=gateway, reason=reason)
            if is_device_token(token):
                self.secrets.add(token)
            identity.keep_token(url, scopes, token)

        return keep

    def watches(
        self,
        loaded: LoadedConfig,
        identity: Identity,
        ledger: SqlLedger,
        spare: SqlLedger,
        notes_of: Callable[[SqlLedger], Notes],
        *,
        is_observing: bool = False,
        only: Collection[str] | None = None,
        recordings: Recordings | None = None,
        shares: Shares | None = None,
    ) -> list[Watch]:
        """One watch per configured gateway, or for those in ``only``; of ``shares`` those alone that are this replica's."""
        book = loaded.policy_book
        tenures: dict[str, Tenure] = {}
        if shares is not None:
            held = ((section.name, shares.tenure_of(section.name)) for section in loaded.config.gateways)
            tenures = {name: tenure for name, tenure in held if tenure is not None}
            only = set(tenures) if only is None else set(tenures).intersection(only)

        places = places_of(loaded) if shares is not None else {}

        def watch(section: GatewaySection) -> Watch:
            recorder = recordings.begin(section.name, loaded) if recordings is not None else None
            # guard: wire: who observes asks for reading alone
            steps = frozenset[Step]() if is_observing else may_act(book, section.name)
            tenure = tenures.get(section.name)
            own = ledger if tenure is None else ledger.fenced(tenure, section.name, places[section.name])
            gateway, log = recorded(self.client(section, identity, steps, steps), self.log, recorder)
            return Watch(
                gateway=gateway,
                book=book,
                ledger=own,
                notes=notes_of(own),  # guard: shares: a note is written under the fence
                clock=self.clock,
                log=log,
                meter=self.meter,
                poll_every=loaded.config.poll_every,
                full_sweep_every=loaded.config.full_sweep_every,
                is_observing=is_observing,
                spare_ledger=spare,
                recorder=recorder,
                tenure=tenure,
            )

        return [watch(section) for section in loaded.config.gateways if only is None or section.name in only]

    def parts(self, *, is_observing: bool) -> Parts:
        """The daemon's parts. Raises ``LedgerError`` leaves and ``OSError`` when the state folder cannot be used."""
        state_dir = make_state_folder(state_folder(self.loaded, self.env))
        identity = Identity(state_dir)
        place = ledger_place(self.loaded, self.env, self.clock)
        if place.url is not None:
            for password in (*passwords_in(place.url), self.env.get("PGPASSWORD")):
                self.secrets.add(password)
        section = self.loaded.config.replicas
        ledger = place.open(owner=True, tolerant=True, share_term=section.term if section is not None else None)
        shares = None
        if section is not None:
            name = section.name or socket.gethostname()
            life = f"{name} {secrets.token_hex(6)}"
            shares = Shares(ledger.leases, life, name, LeaseTiming(section.term), self.clock)
        spare = SqliteLedger.in_memory(wall=lambda: self.clock.now().wall)
        notes_of = notes_in(place)
        recordings = Recordings(recordings_folder(state_dir), self.clock, self.log, self.secrets)
        source, was_found, gateways = self.loaded.source, self.loaded.was_found, self.every_gateway()
        spelled_out = gateways.spelled_out(self.loaded)

        def read_again() -> LoadedConfig:
            nonlocal source, was_found
            loaded = load(source, env=dict(self.env), accounts=self.host, was_found=was_found)
            was_found = loaded.was_found
            source = loaded.source  # a file that was found once is missed when it is gone: no silent built-in defaults
            return loaded

        return Parts(
            loaded=spelled_out,
            written=self.loaded,
            gateways=gateways,
            watches=self.watches(
                spelled_out,
                identity,
                ledger,
                spare,
                notes_of,
                is_observing=is_observing,
                recordings=recordings,
                shares=shares,
            ),
            ledger=ledger,
            spare=spare,
            note_files=HandoffNotes(place.folder),
            clock=self.clock,
            log=self.log,
            meter=self.meter,
            teller=Notifications(
                ledger,
                self.clock,
                self.log,
                self.meter,
                self.secrets,
                self.env,
                Random(),
                spare=spare if shares is not None else None,
                url_of=lambda section: url_of(section, self.machine),
                is_observing=is_observing,
            ),
            supervisor=Supervisor(self.clock, self.env),
            page=PagePublisher(
                spelled_out,
                ledger,
                self.clock,
                self.log,
                self.meter,
                self.secrets,
                is_observing=is_observing,
                shares=shares,
            ),
            restarts=Restarts(
                ledger,
                self.clock,
                self.log,
                self.env,
                lambda section: self.finder(section, identity).process_started_at(),
            ),
            build_watches=lambda loaded, names: self.watches(
                loaded,
                identity,
                ledger,
                spare,
                notes_of,
                is_observing=is_observing,
                only=names,
                recordings=recordings,
                shares=shares,
            ),
            read_again=read_again,
            recordings=recordings,
            shares=shares,
            is_observing=is_observing,
        )
