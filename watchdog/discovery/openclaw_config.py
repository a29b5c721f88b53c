"""OpenClaw's own configuration on disk: where it lies, what it says, and the environment its gateway reads it with.

Reads only. Invariant: no message of an error raised here shows a piece of the file: it may hold tokens. (The decoder's
own exception carries everything parsed so far, so it is never chained.) Limit: values a gateway got from elsewhere,
such as its service unit's ``Environment=`` or a login shell, cannot be seen from here.

Nothing is read from this process: the environment, the home folder and so on are the caller's.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyjson5

from watchdog.gateway.wire.decoder import repaired
from watchdog.service.errors import GatewayError
from watchdog.service.ownership import NotTrusted, Owner, shown

CONFIG_NAMES = ("openclaw.json", "clawdbot.json", "moldbot.json")
"""In the order OpenClaw tries them (source of 2026.3.24; 2026.9.6 no longer knows the last one)."""

STATE_DIR_NAMES = (".openclaw", ".clawdbot", ".moldbot")

PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What OpenClaw accepts as a profile name (2026.9.6); also keeps ``.openclaw.bak`` and the like out."""

_SECTIONS = frozenset({"gateway", "secrets", "env"})
_MAX_INCLUDE_DEPTH = 10
_MAX_FILE_BYTES = 8 * 1024 * 1024
_NEAR = re.compile(r"\s*near (\d+)")
_BYTES_LITERAL = re.compile(r"b'([^']*)'")

_DOTENV_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]*)(?:[ \t]*=|:[ \t])[ \t]*
        (?: '(?P<single>(?:\\'|[^'])*)' | "(?P<double>(?:\\"|[^"])*)" | `(?P<back>(?:\\`|[^`])*)` | (?P<bare>[^\#\r\n]*) )""",
    re.MULTILINE | re.VERBOSE,
)


class DiscoveryError(GatewayError):
    """The gateway of this machine cannot be found or used as its files stand. ``place`` is the file or setting.

    All of them can wait: files get written, fixed and chmodded while we run.
    """

    def __init__(self, place: str, problem: str, way_out: str) -> None:
        super().__init__(f"{place}: {problem}; {way_out}.")
        self.place = place
        self.problem = problem
        self.way_out = way_out


class GatewayNotFound(DiscoveryError):
    """No OpenClaw configuration and no running gateway where one was looked for."""


class ConfigUnreadable(DiscoveryError):
    """The configuration exists and this user may not read it, or it is not a plain file."""


class ConfigBroken(DiscoveryError):
    """The configuration is not valid JSON5, perhaps because it is being written just now. ``line`` where known."""

    def __init__(self, place: str, problem: str, way_out: str, line: int | None = None) -> None:
        super().__init__(place if line is None else f"{place}, line {line}", problem, way_out)
        self.line = line


class ForeignFile(DiscoveryError):
    """It was found and is not used, because of whose it is or may be."""

    @classmethod
    def of(cls, path: Path, reason: NotTrusted) -> ForeignFile:
        return cls(shown(path), reason.problem, reason.way_out)


@dataclass(frozen=True, slots=True)
class ConfigPlace:
    """Where one gateway keeps its configuration and state."""

    config_path: Path
    state_dir: Path
    profile: str | None = None
    is_explicit: bool = False
    """Named by OPENCLAW_CONFIG_PATH: no other file may take its place."""


# ---------------------------------------------------------------- places


def locate(env: Mapping[str, str], home: Path) -> ConfigPlace:
    """The configuration a gateway with this environment uses: the order of 2026.3.24 and 2026.9.6, read in the source."""
    home = openclaw_home(env, home)
    profile = _text(env, "OPENCLAW_PROFILE")
    if profile is not None and (profile.lower() == "default" or not PROFILE_NAME.fullmatch(profile)):
        profile = None
    override = _text(env, "OPENCLAW_STATE_DIR")
    if override is not None:
        state_dir = expand(override, home)
    elif profile is not None:
        state_dir = home / f".openclaw-{profile}"
    else:
        present = (home / name for name in STATE_DIR_NAMES if is_there(home / name))
        state_dir = next(present, home / STATE_DIR_NAMES[0])
    if profile is None:
        profile = profile_of(state_dir)

    explicit = _text(env, "OPENCLAW_CONFIG_PATH")
    if explicit is not None:
        return ConfigPlace(expand(explicit, home), state_dir, profile, is_explicit=True)
    folders = [state_dir]
    if override is None and profile is None:
        folders += [home / name for name in STATE_DIR_NAMES if home / name != state_dir]
    for folder in folders:
        if (found := config_in(folder)) is not None:
            return ConfigPlace(found, state_dir, profile)
    return ConfigPlace(state_dir / CONFIG_NAMES[0], state_dir, profile)


def profiles(home: Path) -> Iterator[ConfigPlace]:
    """Every profile of this user that has a configuration: ``~/.openclaw``, ``~/.openclaw-<profile>``, legacy names."""
    for folder in _profile_folders(home):
        if (config := config_in(folder)) is not None:
            yield ConfigPlace(config, folder, profile_of(folder))


def state_folders(env: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Every state folder this user can have, with a configuration or without: the one ``env`` means, then each profile's."""
    yield locate(env, home).state_dir
    yield from _profile_folders(openclaw_home(env, home))


def _profile_folders(home: Path) -> Iterator[Path]:
    yield from (home / name for name in STATE_DIR_NAMES)
    try:
        named = sorted(home.glob(".openclaw-*"))
    except OSError:
        return
    yield from (folder for folder in named if profile_of(folder) is not None)


def profile_of(state_dir: Path) -> str | None:
    """``work`` for ``~/.openclaw-work``; None for the default profile and for folders with names of their own."""
    name = state_dir.name.removeprefix(".openclaw-")
    return name if name != state_dir.name and PROFILE_NAME.fullmatch(name) else None


def config_in(state_dir: Path) -> Path | None:
    """The configuration file in this folder, if there is one."""
    return next((path for name in CONFIG_NAMES if is_there(path := state_dir / name)), None)


def openclaw_home(env: Mapping[str, str], home: Path) -> Path:
    """OPENCLAW_HOME replaces the home folder; blank, ``undefined`` and ``null`` count as unset (source of 3.24, 9.6)."""
    override = _text(env, "OPENCLAW_HOME")
    return home if override is None or override in ("undefined", "null") else expand(override, home)


def expand(path: str, home: Path) -> Path:
    """``~`` and ``~/x`` as OpenClaw expands them; anything else is taken as it is, relative to ``home`` if relative."""
    path = path.strip()
    if path == "~" or path.startswith("~/"):
        return Path(os.path.normpath(home / path[2:]))
    return Path(os.path.normpath(home / path))


# ---------------------------------------------------------------- what it says


def read_config(path: Path, *, include_roots: tuple[Path, ...] = (), owner: Owner | None = None) -> dict[str, object]:
    """The sections discovery needs, with their ``$include`` files merged in; other sections are not looked at.

    ``owner``: whose every one of these files must be (``ForeignFile``); None: whoever's.

    ``$include`` (2026.9.6 docs, config-secrets-env): one path or a list, relative to the including file, at most ten
    deep, inside the configuration's folder or OPENCLAW_INCLUDE_ROOTS; sibling keys win over included ones.
    """
    roots = tuple(root.resolve() for root in (path.parent, *include_roots))
    whole = _with_includes(_parse(path, owner), path, roots, owner, only=_SECTIONS)
    if not isinstance(whole, dict):
        raise ConfigBroken(
            str(path), "it is not a JSON object", "restore it from openclaw.json.bak or run openclaw doctor"
        )
    return whole


def section(config: Mapping[str, object], *keys: str) -> Mapping[str, object]:
    """The object at ``keys``; empty where there is none."""
    here: object = config
    for key in keys:
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, Mapping) else {}


def gateway_environment(env: Mapping[str, str], config: Mapping[str, object], dotenv: Iterable[str]) -> dict[str, str]:
    """``env`` as a gateway would have it: then (texts of) ``.env`` files, then the config's ``env`` block; earlier ones win.

    Order from help/environment.md of 2026.9.6. Its folder's own ``.env`` is left out: OPENCLAW_* names in it do not count.
    """
    result = {name: value for name, value in env.items() if value}
    for text in dotenv:
        for name, value in parse_dotenv(text).items():
            result.setdefault(name, value)
    block = section(config, "env")
    for name, given in (*section(block, "vars").items(), *block.items()):  # "vars" and "shellEnv" are no strings
        if isinstance(given, str) and given.strip():
            result.setdefault(name, given)
    return result


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a ``.env`` file, quoted like the npm package ``dotenv`` does; nothing is expanded."""
    result: dict[str, str] = {}
    for match in _DOTENV_LINE.finditer(text):
        if (value := match["double"]) is not None:
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        elif (value := match["single"]) is None and (value := match["back"]) is None:
            value = match["bare"].strip()
        result[match["name"]] = value
    return result


def read_text(path: Path, owner: Owner | None = None) -> str:
    """The text of a regular file; FileNotFoundError passes, everything else becomes a clear error.

    ``owner``: whose it must be (``ForeignFile``); None: whoever's.
    """
    text, info = open_text(path)
    if owner is not None:
        try:
            owner.judge(path, info)
        except NotTrusted as reason:
            raise ForeignFile.of(path, reason) from None
    return text


def open_text(path: Path) -> tuple[str, os.stat_result]:
    """``read_text``, and what was opened: whose it is must be judged by that."""
    try:
        # O_NONBLOCK: a FIFO in its place must not hang the watchdog.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            info = os.fstat(descriptor)
            is_plain = stat.S_ISREG(info.st_mode)
            with os.fdopen(descriptor, "rb", closefd=False) if is_plain else io.BytesIO() as file:
                raw = file.read(_MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = (getattr(error, "strerror", None) or type(error).__name__).lower()
        raise ConfigUnreadable(
            str(path), f"cannot be read ({reason})", "run the watchdog as the gateway's user, or set url: and token:"
        ) from error
    if not is_plain or len(raw) > _MAX_FILE_BYTES:
        raise ConfigUnreadable(
            str(path), "is no regular file of a sensible size", "point OPENCLAW_CONFIG_PATH at the file"
        )
    try:
        return raw.decode("utf-8-sig"), info
    except UnicodeDecodeError as error:
        where, line = error.start, raw.count(b"\n", 0, error.start) + 1
    raise ConfigBroken(str(path), f"byte {where} is not UTF-8", "save it as UTF-8", line)


# ---------------------------------------------------------------- inside


def _parse(path: Path, owner: Owner | None) -> object:
    text = read_text(path, owner)
    try:
        try:
            return pyjson5.decode(text)
        except pyjson5.Json5Exception:
            # Half an emoji (``"\\ud83d"``) is text to OpenClaw.
            if (better := repaired(text)) is None:
                raise
            return pyjson5.decode(better.decode())
    except pyjson5.Json5Exception as error:
        # error.args[1] is all that was parsed so far, tokens included: the error is dropped, only its sentence is kept.
        said = str(error.args[0]) if error.args else "not JSON5"
    near = _NEAR.search(said)
    line = text.count("\n", 0, int(near[1])) + 1 if near else None
    problem = _BYTES_LITERAL.sub(r"\1", _NEAR.sub("", said)).removesuffix(" starting")
    raise ConfigBroken(
        str(path), f"not valid JSON5 ({problem[:1].lower()}{problem[1:]})", "finish or undo the edit", line
    )


def _with_includes(
    value: object,
    path: Path,
    roots: tuple[Path, ...],
    owner: Owner | None,
    *,
    only: frozenset[str] | None = None,
    chain: tuple[Path, ...] = (),
) -> object:
    if not isinstance(value, dict):
        return value
    own: dict[str, object] = {
        key: _with_includes(part, path, roots, owner, chain=chain)
        for key, part in value.items()
        if key != "$include" and (only is None or key in only)
    }
    if "$include" not in value:
        return own
    names = value["$include"]
    merged: object = {}
    for name in names if isinstance(names, list) else [names]:
        target = _include_target(name, path, roots)
        if len(chain) >= _MAX_INCLUDE_DEPTH or target in (path, *chain):
            raise ConfigBroken(str(path), f"$include {name!r} is circular or too deep", "run openclaw config validate")
        try:
            part = _parse(target, owner)
        except FileNotFoundError as error:
            raise ConfigBroken(
                str(path), f"$include {name!r} does not exist", "create it or remove the $include"
            ) from error
        merged = _merge(merged, _with_includes(part, target, roots, owner, only=only, chain=(*chain, path)))
    return _merge(merged, own) if own else merged


def _include_target(name: object, path: Path, roots: tuple[Path, ...]) -> Path:
    if isinstance(name, str) and name and "\0" not in name:
        target = Path(os.path.normpath(path.parent / name))
        if any(target.resolve().is_relative_to(root) for root in roots):
            return target
    raise ConfigBroken(
        str(path),
        f"$include {name!r} leaves the configuration's folder",
        "move the file there or set OPENCLAW_INCLUDE_ROOTS",
    )


def _merge(under: object, over: object) -> object:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {**under, **{key: _merge(under[key], part) if key in under else part for key, part in over.items()}}


def is_there(path: Path) -> bool:
    """Whether something has this name; also when a folder on the way cannot be looked into: reading it says so."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # there, but not ours to read: say so when it is read
    return True


def _text(env: Mapping[str, str], name: str) -> str | None:
    return (env.get(name) or "").strip() or None
