"""Finds the gateways of this machine in OpenClaw's own files: url, credentials, state folder, live process.

Order: OPENCLAW_CONFIG_PATH, ``$OPENCLAW_STATE_DIR/openclaw.json``, ``~/.openclaw/openclaw.json`` (and legacy names), and
when none of these exists the lock file of the one gateway that runs. A running gateway's lock and sockets are the truth
about where it listens; configuration only says where it will next time.

What is found must be of one hand (``service.ownership``): lock folder, lock, process, configuration, its folders up to the
root and ``.env`` files belong to one account or to root, and that account is ours, or we are root. What a variable names
(OPENCLAW_CONFIG_PATH, OPENCLAW_STATE_DIR, OPENCLAW_HOME) is taken as named. Root reads nothing for an account that it may
not read itself, and gives it nothing out of our own environment. What is not used for that is said in ``foreign``.

Limits, all told in ``notes``: before 2026.9 the lock carries no port and no state folder; a credential that lives only
in the gateway's service unit cannot be seen; a gateway with a private temp folder or in a container shows no process.
Pure: environment, home, uid, temp folders and processes come in as arguments. Blocking file reads, a few milliseconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from watchdog.discovery.bind_address import LOOPBACK, configured_host, configured_port, heard
from watchdog.discovery.credentials import gateway_credentials
from watchdog.discovery.found import DiscoveredGateway
from watchdog.discovery.gateway_lock import (
    GatewayLock,
    OwnerIn,
    Processes,
    gateway_locks,
    lock_folders,
    misplaced_folders,
)
from watchdog.discovery.openclaw_config import (
    CONFIG_NAMES,
    ConfigPlace,
    ConfigUnreadable,
    DiscoveryError,
    ForeignFile,
    GatewayNotFound,
    expand,
    gateway_environment,
    is_there,
    locate,
    openclaw_home,
    profile_of,
    profiles,
    read_config,
    read_text,
    section,
)
from watchdog.service.ownership import NotTrusted, Owner, owner_of, shown

_NO_NAME = re.compile(r"[^a-z0-9_-]+")
_SET_URL = "set url: and token: under gateways: in watchdog.yaml"
_OF_THE_MEANT = ("OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_PASSWORD", "OPENCLAW_GATEWAY_PORT")
"""What of our environment is for the gateway that it means, whoever's that is."""


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
    foreign: tuple[ForeignFile, ...] = ()
    """What was found and is not used, because of whose it is; ``unusable`` has the configurations."""

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
    named: tuple[Path, ...] = ()
    """Folders that our environment names."""

    def owner_of(self, place: ConfigPlace, *, is_located: bool) -> Owner | None:
        """Whose this place is; ``is_located``: our environment or home led there, and no file of others."""
        is_named = is_located and (
            place.is_explicit or any(place.state_dir.is_relative_to(folder) for folder in self.named)
        )
        return owner_of((place.config_path, place.state_dir), self.uid, self.processes, is_named=is_named)

    def owner_of_lock(self, lock: GatewayLock) -> Owner:
        """Whose everything must be that this lock leads to, by its account's word alone."""
        return Owner(lock.owner, self.uid, self.processes).by_its_word()

    def owner_in(self, places: Iterable[ConfigPlace], *, own: int) -> OwnerIn:
        """Whose locks count in a lock folder: in the shared temp folders the one in its name, else the place's."""
        owners: dict[Path, Owner | None] = {}
        for index, place in enumerate(places):
            owners.setdefault(place.state_dir / "tmp", self.owner_of(place, is_located=index < own))

        def owner_in(folder: Path) -> Owner | None:
            if folder.parent in owners:
                return owners[folder.parent]
            return Owner(int(folder.name.removeprefix("openclaw-")), self.uid, self.processes)

        return owner_in


def discover(
    env: Mapping[str, str], home: Path, processes: Processes, *, uid: int, tmp_dirs: Iterable[Path] | None = None
) -> DiscoveredGateway:
    """The gateway this environment means. Raises ``DiscoveryError`` leaves and nothing else.

    ``tmp_dirs``: where gateways before 2026.9 put their locks; None: TMPDIR of ``env``, then ``/tmp``.
    """
    here = _here(env, home, processes, uid, tmp_dirs)
    place = locate(env, home)
    folders = lock_folders([place.state_dir], here.tmp_dirs, uid)
    locks = _sound(here, gateway_locks(folders, processes, here.owner_in([place], own=1)))
    owner = here.owner_of(place, is_located=True)
    lock = _lock_of(place, owner, locks)
    notes: tuple[str, ...] = ()
    is_located = True
    if lock is None and not is_there(place.config_path):
        running = [candidate for candidate in locks if candidate.is_alive]
        if place.is_explicit or len(running) != 1:
            raise _not_found(place, running)
        lock = running[0]
        notes = (f"{place.config_path} does not exist: this is the one gateway that runs here.",)
        place, owner, is_located = _place_of(lock), here.owner_of_lock(lock), False
    elif lock is not None and not place.is_explicit and lock.config_path != place.config_path:
        notes = (f"The running gateway uses {lock.config_path}, not {place.config_path}.",)
        place = replace(place, config_path=lock.config_path)
        owner = owner.by_its_word() if owner is not None else None
    found = _build(here, place, lock, owner, notes, is_located=is_located)
    return replace(found, foreign=(*found.foreign, *_foreign(here, locks)))


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
    known = (*places, *also)
    folders = lock_folders((place.state_dir for place in known), here.tmp_dirs, uid)
    locks = _sound(here, gateway_locks(folders, processes, here.owner_in(known, own=own)))
    owners = [here.owner_of(place, is_located=True) for place in places]
    live = sorted((lock for lock in locks if lock.is_alive), key=lambda lock: lock.config_path)
    places += [_place_of(lock) for lock in live]
    owners += [here.owner_of_lock(lock) for lock in live]
    for place in also:
        places.append(place)
        owner = here.owner_of(place, is_located=False)
        owners.append(owner.by_its_word() if owner is not None else None)

    gateways: list[DiscoveredGateway] = []
    unusable: dict[Path, DiscoveryError] = {}
    meant_path: Path | None = None
    seen: set[str] = set()
    for position, (place, owner) in enumerate(zip(places, owners, strict=True)):
        lock = _lock_of(place, owner, locks)
        if lock is not None and not place.is_explicit and lock.config_path != place.config_path:
            place = replace(place, config_path=lock.config_path)  # noqa: PLW2901 - the lock knows better
            owner = owner.by_its_word() if owner is not None else None  # noqa: PLW2901
        key = os.path.realpath(place.config_path)
        if key in seen or (lock is None and not is_there(place.config_path)):
            continue
        seen.add(key)
        if position == 0:
            meant_path = place.config_path
        try:
            whose = here if place.state_dir == meant.state_dir else others
            found = _build(whose, place, lock, owner, is_located=position == 0)
            gateways.append(replace(found, is_elsewhere=position >= own))
        except DiscoveryError as problem:
            unusable[place.config_path] = problem
    problems = tuple(unusable.values())
    if not gateways and not problems:
        problems = (_not_found(meant, []),)
    named = tuple(_with_own_names(_one_per_url(gateways)))
    usable = {gateway.config_path for gateway in named}
    is_meant_here = meant_path in usable or meant_path in unusable
    return Discovery(named, problems, meant_path if is_meant_here else None, unusable, _foreign(here, locks))


# ---------------------------------------------------------------- one gateway


def _build(
    here: _Here,
    place: ConfigPlace,
    lock: GatewayLock | None,
    owner: Owner | None,
    notes: tuple[str, ...] = (),
    *,
    is_located: bool,
) -> DiscoveredGateway:
    home = openclaw_home(here.env, here.home)
    try:
        config = read_config(place.config_path, include_roots=_include_roots(here.env, home), owner=owner)
    except FileNotFoundError:
        config, notes = {}, (*notes, f"{place.config_path} does not exist: OpenClaw's defaults are assumed.")
    dotenv = [place.state_dir / ".env"]
    if place.state_dir == home / ".openclaw":
        dotenv.append(home / ".config" / "openclaw" / "gateway.env")  # 2026.9.6, the default state folder only
    texts, foreign = _dotenv_texts(dotenv, owner)
    env = gateway_environment(_environment(here, owner, is_located=is_located), config, texts)
    gateway = section(config, "gateway")
    if gateway.get("mode") == "remote":
        return replace(_remote(place, config, env, home, notes, owner), foreign=foreign)

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

    has_tls = section(gateway, "tls").get("enabled") is True
    credentials = gateway_credentials(config, place.config_path, env, home, owner=owner)
    state_dir = place.state_dir if lock is None or lock.state_dir is None else lock.state_dir
    if (problem := _foreign_folder(state_dir, lock, owner)) is not None:
        foreign = (*foreign, problem)
    if credentials.token is None and credentials.password is None and credentials.mode != "none":
        notes = (*notes, "No token or password was found in the configuration or the environment.")
    return DiscoveredGateway(
        name=_name(place, home),
        url=f"{'wss' if has_tls else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}",
        token_source=credentials.token,
        password=credentials.password,
        state_dir=state_dir if problem is None else None,
        config_path=place.config_path,
        pid=None if lock is None else lock.pid,
        lock_created_at=None if lock is None else lock.created_at,
        notes=notes,
        owner=owner.uid if owner is not None else None,
        foreign=foreign,
    )


def _dotenv_texts(paths: Iterable[Path], owner: Owner | None) -> tuple[list[str], tuple[ForeignFile, ...]]:
    texts: list[str] = []
    foreign: list[ForeignFile] = []
    for path in paths:
        try:
            texts.append(read_text(path, owner))
        except ForeignFile as problem:
            foreign.append(problem)
        except (DiscoveryError, FileNotFoundError):
            continue
    return texts, tuple(foreign)


def _environment(here: _Here, owner: Owner | None, *, is_located: bool) -> Mapping[str, str]:
    """What of our environment another account's configuration may refer to: it decides where that is sent."""
    if owner is None or owner.is_named or owner.uid == here.uid:
        return here.env
    return {name: here.env[name] for name in _OF_THE_MEANT if is_located and name in here.env}


def _foreign_folder(state_dir: Path, lock: GatewayLock | None, owner: Owner | None) -> ForeignFile | None:
    if owner is None or not is_there(state_dir):
        return None
    try:
        (owner if lock is None or lock.state_dir is None else owner.by_its_word()).judge(state_dir)
    except NotTrusted as reason:
        return ForeignFile.of(state_dir, reason)
    return None


def _foreign(here: _Here, locks: Iterable[GatewayLock]) -> tuple[ForeignFile, ...]:
    """Locks that are not used because of whose they are, or of whose configuration they name."""
    of_locks = (lock.foreign for lock in locks if lock.foreign is not None)
    return (*misplaced_folders(here.tmp_dirs, here.uid, here.processes), *of_locks)


def _sound(here: _Here, locks: Iterable[GatewayLock]) -> list[GatewayLock]:
    """The same locks; a live one that names a configuration which is not its account's does not count as alive."""
    return [_disproved(here, lock) if lock.is_alive and lock.owner != here.uid else lock for lock in locks]


def _disproved(here: _Here, lock: GatewayLock) -> GatewayLock:
    owner = here.owner_of_lock(lock)
    try:
        read_text(lock.config_path, owner)
    except ForeignFile as problem:
        said = f"it is {owner}'s and names {shown(lock.config_path)}: {problem.problem}"
        claim = ForeignFile(shown(lock.path), said, "it is not used: ask that account what it means by it")
        return replace(lock, is_alive=False, foreign=claim)
    except (DiscoveryError, FileNotFoundError):
        return lock
    return lock


def _remote(
    place: ConfigPlace,
    config: Mapping[str, object],
    env: Mapping[str, str],
    home: Path,
    notes: tuple[str, ...],
    owner: Owner | None,
) -> DiscoveredGateway:
    url = section(config, "gateway", "remote").get("url")
    if not isinstance(url, str) or not url.strip():
        raise GatewayNotFound(
            f"gateway.remote.url in {place.config_path}", "gateway.mode is remote and no url is given", _SET_URL
        )
    credentials = gateway_credentials(config, place.config_path, env, home, is_remote=True, owner=owner)
    return DiscoveredGateway(
        name=_name(place, home),
        url=url.strip(),
        token_source=credentials.token,
        password=credentials.password,
        state_dir=None,
        config_path=place.config_path,
        notes=(*notes, "gateway.mode is remote: its lock files and transcripts are not on this machine."),
    )


def _lock_of(place: ConfigPlace, owner: Owner | None, locks: Iterable[GatewayLock]) -> GatewayLock | None:
    """The live gateway of this configuration; by its state folder when the configuration's path is not binding.

    Only a lock of the same account, or root's: anybody can write a lock that names this configuration.
    """
    live = [lock for lock in locks if lock.is_alive and (owner is None or owner.is_hand(lock.owner))]
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
    """Two configurations cannot share a port: the one whose gateway runs has it.

    Of two accounts both stay: whose it is shows when connected, and nobody's claim takes it away from another.
    """
    owners: dict[tuple[str, int | None], DiscoveredGateway] = {}
    for gateway in gateways:
        owner = owners.get((gateway.url, gateway.owner))
        if owner is None or (owner.pid is None and gateway.pid is not None):
            owners[gateway.url, gateway.owner] = gateway
    return [gateway for gateway in gateways if owners[gateway.url, gateway.owner] is gateway]


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
    named = [expand(env["OPENCLAW_STATE_DIR"], home)] if (env.get("OPENCLAW_STATE_DIR") or "").strip() else []
    if (openclaw := openclaw_home(env, home)) != home:
        named.append(openclaw)
    return _Here(env, home, uid, tuple(dict.fromkeys(tmp_dirs)), processes, tuple(named))


__all__ = [
    "ConfigUnreadable",
    "DiscoveredGateway",
    "Discovery",
    "DiscoveryError",
    "ForeignFile",
    "GatewayNotFound",
    "discover",
    "discover_all",
    "is_same",
]
