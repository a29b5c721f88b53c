"""Finds the gateways of this machine in OpenClaw's own files: url, credentials, state folder, live process.

Order: OPENCLAW_CONFIG_PATH, ``$OPENCLAW_STATE_DIR/openclaw.json``, ``~/.openclaw/openclaw.json`` (and legacy names), and
when none of these exists the lock file of the one gateway that runs. A running gateway's lock and sockets are the truth
about where it listens; configuration only says where it will next time.

Limits, all told in ``notes``: before 2026.9 the lock carries no port and no state folder; a credential that lives only
in the gateway's service unit cannot be seen; a gateway with a private temp folder or in a container shows no process.
Pure: environment, home, uid, temp folders and processes come in as arguments. Blocking file reads, a few milliseconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.gateway.bind_address import LOOPBACK, configured_host, configured_port, heard
from watchdog.gateway.credentials import SecretSource, gateway_credentials
from watchdog.gateway.gateway_lock import GatewayLock, Processes, gateway_locks, lock_folders
from watchdog.gateway.openclaw_config import (
    CONFIG_NAMES,
    ConfigPlace,
    ConfigUnreadable,
    DiscoveryError,
    GatewayNotFound,
    expand,
    gateway_environment,
    is_there,
    locate,
    openclaw_home,
    profile_of,
    profiles,
    read_config,
    section,
)

if TYPE_CHECKING:
    from watchdog.gateway.cells import Cell

_NO_NAME = re.compile(r"[^a-z0-9_-]+")
_SET_URL = "set url: and token: under gateways: in watchdog.yaml"


@dataclass(frozen=True, slots=True)
class DiscoveredGateway:
    """One gateway, ready to connect to."""

    name: str
    """The profile's name, ``default`` without one; unique within one discovery and stable across restarts."""
    url: str
    token_source: SecretSource | None
    """Call it at every sign-in; None: this gateway takes no token, or none is configured (see ``notes``)."""
    password: SecretSource | None
    state_dir: Path | None
    """None: not on this machine (``gateway.mode: remote``), or not known before the gateway's hello says it."""
    config_path: Path
    pid: int | None = None
    """The live gateway process, checked; None: not running, or its process cannot be seen from here."""
    lock_created_at: datetime | None = None
    """When the live gateway took its lock: its last start, in-process restarts included."""
    auth_mode: str | None = None
    tls_certificate: Path | None = None
    """The certificate the gateway serves (self-signed unless the user brought one): what to trust for ``wss``."""
    is_elsewhere: bool = False
    """Its place is no profile's: its live lock file, or an earlier look, is all that led to it."""
    notes: tuple[str, ...] = ()
    """What a person should know about how this was found; one sentence each, no secrets."""

    cell: Cell | None = None
    """It is this cell of ``openclaw fleet``."""
    is_running_in_container: bool = False
    missing: DiscoveryError | None = None
    """Why nobody can sign in to it with what is found here; None: nothing is missing that is known of."""

    @property
    def is_alive(self) -> bool:
        """Its process was seen and checked, or a container runtime says that its container runs."""
        return self.pid is not None or self.is_running_in_container

    @property
    def place(self) -> ConfigPlace:
        """Where it was found, to look there again."""
        state_dir = self.state_dir or self.config_path.parent
        return ConfigPlace(self.config_path, state_dir, profile_of(state_dir))


@dataclass(frozen=True, slots=True)
class Discovery:
    """Every gateway of this user, and what stood in the way of finding others."""

    gateways: tuple[DiscoveredGateway, ...]
    problems: tuple[DiscoveryError, ...]
    meant: Path | None = None
    """The configuration of the one the environment means, usable or not; None: there is none, or a running gateway of
    another configuration has its port."""
    unusable: Mapping[Path, DiscoveryError] = field(default_factory=dict)
    """Those of ``problems`` that concern one configuration, by its path."""

    def of(self, config_path: Path) -> DiscoveredGateway:
        """The gateway of this configuration. Raises ``DiscoveryError`` leaves."""
        for gateway in self.gateways:
            if is_same(gateway.config_path, config_path):
                return gateway
        for path, problem in self.unusable.items():
            if is_same(path, config_path):
                raise problem
        raise GatewayNotFound(
            str(config_path),
            "it does not exist, or the gateway of another configuration runs on its port",
            "start its gateway, or give each a port of its own",
        )


@dataclass(frozen=True, slots=True)
class _Here:
    env: Mapping[str, str] = field(repr=False)
    home: Path
    uid: int
    tmp_dirs: tuple[Path, ...]
    processes: Processes


def discover(
    env: Mapping[str, str], home: Path, processes: Processes, *, uid: int, tmp_dirs: Iterable[Path] | None = None
) -> DiscoveredGateway:
    """The gateway this environment means. Raises ``DiscoveryError`` leaves and nothing else.

    ``tmp_dirs``: where gateways before 2026.9 put their locks; None: TMPDIR of ``env``, then ``/tmp``.
    """
    here = _here(env, home, processes, uid, tmp_dirs)
    place = locate(env, home)
    locks = gateway_locks(lock_folders([place.state_dir], here.tmp_dirs, uid), processes)
    lock = _lock_of(place, locks)
    notes: tuple[str, ...] = ()
    if lock is None and not is_there(place.config_path):
        running = [candidate for candidate in locks if candidate.is_alive]
        if place.is_explicit or len(running) != 1:
            raise _not_found(place, running)
        lock = running[0]
        notes = (f"{place.config_path} does not exist: this is the one gateway that runs here.",)
        place = _place_of(lock)
    elif lock is not None and not place.is_explicit and lock.config_path != place.config_path:
        notes = (f"The running gateway uses {lock.config_path}, not {place.config_path}.",)
        place = replace(place, config_path=lock.config_path)
    return _build(here, place, lock, notes)


def discover_all(
    env: Mapping[str, str],
    home: Path,
    processes: Processes,
    *,
    uid: int,
    tmp_dirs: Iterable[Path] | None = None,
    also: Iterable[ConfigPlace] = (),
) -> Discovery:
    """Every gateway of this user: the one ``env`` means, every profile under ``home``, every live lock file.

    OPENCLAW_* variables speak of the first one only and are kept from the others. ``also``: places an earlier look led
    to, so that a gateway found by its lock alone is still known while it is down.
    """
    here = _here(env, home, processes, uid, tmp_dirs)
    others = replace(here, env={name: value for name, value in env.items() if not _speaks_of_one(name)})
    meant = locate(env, home)
    places, also = [meant, *profiles(openclaw_home(env, home))], tuple(also)
    own = len(places)
    locks = gateway_locks(lock_folders((place.state_dir for place in (*places, *also)), here.tmp_dirs, uid), processes)
    places += sorted((_place_of(lock) for lock in locks if lock.is_alive), key=lambda place: place.config_path)
    places += also

    gateways: list[DiscoveredGateway] = []
    unusable: dict[Path, DiscoveryError] = {}
    meant_path: Path | None = None
    seen: set[str] = set()
    for position, place in enumerate(places):
        lock = _lock_of(place, locks)
        if lock is not None and not place.is_explicit:
            place = replace(place, config_path=lock.config_path)  # noqa: PLW2901 - the lock knows better
        key = os.path.realpath(place.config_path)
        if key in seen or (lock is None and not is_there(place.config_path)):
            continue
        seen.add(key)
        if position == 0:
            meant_path = place.config_path
        try:
            found = _build(here if place.state_dir == meant.state_dir else others, place, lock)
            gateways.append(replace(found, is_elsewhere=position >= own))
        except DiscoveryError as problem:
            unusable[place.config_path] = problem
    problems = tuple(unusable.values())
    if not gateways and not problems:
        problems = (_not_found(meant, []),)
    named = tuple(_with_own_names(_one_per_url(gateways)))
    usable = {gateway.config_path for gateway in named}
    is_meant_here = meant_path in usable or meant_path in unusable
    return Discovery(named, problems, meant_path if is_meant_here else None, unusable)


# ---------------------------------------------------------------- one gateway


def _build(here: _Here, place: ConfigPlace, lock: GatewayLock | None, notes: tuple[str, ...] = ()) -> DiscoveredGateway:
    home = openclaw_home(here.env, here.home)
    try:
        config = read_config(place.config_path, include_roots=_include_roots(here.env, home))
    except FileNotFoundError:
        config, notes = {}, (*notes, f"{place.config_path} does not exist: OpenClaw's defaults are assumed.")
    dotenv = [place.state_dir / ".env"]
    if place.state_dir == home / ".openclaw":
        dotenv.append(home / ".config" / "openclaw" / "gateway.env")  # 2026.9.6, the default state folder only
    env = gateway_environment(here.env, config, tuple(dotenv))
    gateway = section(config, "gateway")
    if gateway.get("mode") == "remote":
        return _remote(place, config, env, home, notes)

    port = configured_port(gateway, env, place.profile)
    host = configured_host(gateway)
    if lock is None:
        notes = (*notes, "No running gateway was seen: the url is the configured one.")
    elif lock.port is not None:
        host, port = LOOPBACK, lock.port  # 2026.9.x listens on 127.0.0.1 whatever else it binds
    elif (found := heard(here.processes.listening(lock.pid), port)) is not None:
        if found[1] != port:
            notes = (*notes, f"It listens on port {found[1]}, not on the configured {port}.")
        host, port = found
    elif gateway.get("bind") == "tailnet":
        notes = (
            *notes,
            "gateway.bind is tailnet: before 2026.9 such a gateway may not listen on 127.0.0.1; then set url:.",
        )

    tls = section(gateway, "tls")
    has_tls = tls.get("enabled") is True
    credentials = gateway_credentials(config, place.config_path, env, home)
    if credentials.token is None and credentials.password is None and credentials.mode != "none":
        notes = (*notes, "No token or password was found in the configuration or the environment.")
    return DiscoveredGateway(
        name=_name(place, home),
        url=f"{'wss' if has_tls else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}",
        token_source=credentials.token,
        password=credentials.password,
        state_dir=place.state_dir if lock is None or lock.state_dir is None else lock.state_dir,
        config_path=place.config_path,
        pid=None if lock is None else lock.pid,
        lock_created_at=None if lock is None else lock.created_at,
        auth_mode=credentials.mode,
        tls_certificate=_certificate(tls, place.state_dir, home) if has_tls else None,
        notes=notes,
    )


def _remote(
    place: ConfigPlace, config: Mapping[str, object], env: Mapping[str, str], home: Path, notes: tuple[str, ...]
) -> DiscoveredGateway:
    url = section(config, "gateway", "remote").get("url")
    if not isinstance(url, str) or not url.strip():
        raise GatewayNotFound(
            f"gateway.remote.url in {place.config_path}", "gateway.mode is remote and no url is given", _SET_URL
        )
    credentials = gateway_credentials(config, place.config_path, env, home, is_remote=True)
    return DiscoveredGateway(
        name=_name(place, home),
        url=url.strip(),
        token_source=credentials.token,
        password=credentials.password,
        state_dir=None,
        config_path=place.config_path,
        notes=(*notes, "gateway.mode is remote: its lock files and transcripts are not on this machine."),
    )


def _lock_of(place: ConfigPlace, locks: Iterable[GatewayLock]) -> GatewayLock | None:
    """The live gateway of this configuration; by its state folder when the configuration's path is not binding."""
    live = [lock for lock in locks if lock.is_alive]
    for lock in live:
        if is_same(lock.config_path, place.config_path):
            return lock
    for lock in live:
        if not place.is_explicit and lock.state_dir is not None and is_same(lock.state_dir, place.state_dir):
            return lock
    return None


def _place_of(lock: GatewayLock) -> ConfigPlace:
    state_dir = lock.state_dir or lock.config_path.parent
    return ConfigPlace(lock.config_path, state_dir, profile_of(state_dir))


def _certificate(tls: Mapping[str, object], state_dir: Path, home: Path) -> Path:
    configured = tls.get("certPath")
    if isinstance(configured, str) and configured.strip():
        return expand(configured, home)
    return state_dir / "gateway" / "tls" / "gateway-cert.pem"  # source of 2026.9.6


# ---------------------------------------------------------------- names and odds


def _name(place: ConfigPlace, home: Path) -> str:
    """The profile, the configuration's own name, or ``default``; with its owner's folder when that is not ours."""
    owner = (
        ""
        if place.state_dir.parent == home or not place.state_dir.name.startswith(".")
        else place.state_dir.parent.name
    )
    if place.config_path.name not in CONFIG_NAMES:
        own = place.config_path.stem
    elif place.profile is not None:
        own = place.profile
    else:
        own = "" if place.state_dir.name.startswith(".") else place.state_dir.name
    return _NO_NAME.sub("-", f"{owner}-{own}".lower()).strip("-") or "default"


def _with_own_names(gateways: list[DiscoveredGateway]) -> Iterator[DiscoveredGateway]:
    """The first of a name keeps it; others add their port, which outlives any order of discovery."""
    taken: set[str] = set()
    for gateway in gateways:
        name = gateway.name
        if name in taken:
            name = f"{name}-{gateway.url.rpartition(':')[2]}"
        taken.add(name)
        yield replace(gateway, name=name)


def _one_per_url(gateways: list[DiscoveredGateway]) -> list[DiscoveredGateway]:
    """Two configurations cannot share a port: the one whose gateway runs has it."""
    owners: dict[str, DiscoveredGateway] = {}
    for gateway in gateways:
        owner = owners.get(gateway.url)
        if owner is None or (owner.pid is None and gateway.pid is not None):
            owners[gateway.url] = gateway
    return [gateway for gateway in gateways if owners[gateway.url] is gateway]


def _speaks_of_one(variable: str) -> bool:
    return variable.startswith("OPENCLAW_") and variable not in ("OPENCLAW_HOME", "OPENCLAW_INCLUDE_ROOTS")


def _include_roots(env: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    return tuple(expand(root, home) for root in env.get("OPENCLAW_INCLUDE_ROOTS", "").split(":") if root.strip())


def _not_found(place: ConfigPlace, running: list[GatewayLock]) -> GatewayNotFound:
    if running:
        paths = ", ".join(str(lock.config_path) for lock in running)
        problem = f"it does not exist, and other gateways run here ({paths})"
        return GatewayNotFound(
            str(place.config_path), problem, f"set OPENCLAW_CONFIG_PATH to one of them, or {_SET_URL}"
        )
    return GatewayNotFound(
        str(place.config_path), "it does not exist and no gateway runs here", f"start OpenClaw, or {_SET_URL}"
    )


def is_same(one: Path, other: Path) -> bool:
    """The same file, by whatever links it is reached."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def _here(env: Mapping[str, str], home: Path, processes: Processes, uid: int, tmp_dirs: Iterable[Path] | None) -> _Here:
    if tmp_dirs is None:
        tmp_dirs = (Path(env.get("TMPDIR") or "/tmp"), Path("/tmp"))  # noqa: S108 - where Node's os.tmpdir() points
    return _Here(env, home, uid, tuple(dict.fromkeys(tmp_dirs)), processes)


__all__ = [
    "ConfigUnreadable",
    "DiscoveredGateway",
    "Discovery",
    "DiscoveryError",
    "GatewayNotFound",
    "discover",
    "discover_all",
    "is_same",
]
