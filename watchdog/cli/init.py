"""``init``: a commented configuration out of what is found on this machine, and the next command to type."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from watchdog.adapters.host import LocalHost
from watchdog.cli.shared import Leave, named_file, print_file, say, say_error
from watchdog.config import FoundGateway, json_schema, render_template, search_paths, user_folder
from watchdog.config.loader import FILE_NAME, VARIABLE
from watchdog.daemon.assembly import home_folder
from watchdog.discovery.found import DiscoveredGateway
from watchdog.discovery.machine import Machine
from watchdog.discovery.profiles import DiscoveryError
from watchdog.gateway.wire.addresses import is_local
from watchdog.service.exits import Exit

SCHEMA_NAME = "watchdog.schema.json"
LOCAL = "local"
"""What the gateway the environment means is called where nobody named it."""
PLACEHOLDER = "ws://127.0.0.1:18789"


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``init`` found: entries for the file, and sentences for the person."""

    gateways: tuple[FoundGateway, ...]
    told: tuple[str, ...]
    to_set: tuple[str, ...] = ()
    """Environment variables the file refers to and nobody has set yet."""


def add_to(app: typer.Typer) -> None:
    @app.command()
    def init(
        output: Annotated[
            Path | None,
            typer.Option(
                "--output", "-o", metavar="FILE", parser=named_file, help="Where to; default: your config folder."
            ),
        ] = None,
        force: Annotated[
            bool, typer.Option("--force", help="Replace a file; the old one is kept as .bak, .bak.1 and so on.")
        ] = False,
        only_print: Annotated[bool, typer.Option("--print", help="Only show the file.")] = False,
    ) -> None:
        """Write a commented configuration with the gateways of this machine filled in.

        Example: `openclaw-watchdog init && openclaw-watchdog doctor`
        """
        env = dict(os.environ)
        findings = look_around(env, home_folder(env))
        for line in findings.told:
            say(line, err=True)
        if only_print:
            print_file(render_template(findings.gateways))
            return
        path = _target(output, env)
        try:
            if not force and (path.exists() or path.is_symlink()):
                say_error(f"{path} exists and is left alone; --force replaces it, --print shows what would be written.")
                raise Leave(Exit.NOT_DONE)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path.parent / SCHEMA_NAME, json.dumps(json_schema(), indent=2) + "\n", keeps=False)
            kept = write_whole(path, render_template(findings.gateways, schema=f"./{SCHEMA_NAME}"))
        except OSError as problem:
            reason = (problem.strerror or type(problem).__name__).lower()
            say_error(
                f"{path} cannot be written ({reason}), and nothing was replaced; --output FILE names another place, --print "
                "shows what would be written."
            )
            raise Leave(Exit.CANNOT_WORK) from None
        say(f"wrote {path}", *([f"the old one is {kept}"] if kept is not None else []))
        for line in _next(path, env, findings):
            say(line)


def look_around(env: Mapping[str, str], home: Path) -> Findings:
    """Every gateway of this user, the one this environment means first."""
    machine = Machine(env, home, LocalHost())
    found = machine.everything()
    foreign = dict.fromkeys((*found.foreign, *(one for gateway in found.gateways for one in gateway.foreign)))
    told = [f"not used: {problem}" for problem in foreign]
    if found.gateways:
        told += [f"problem: {problem}" for problem in found.problems]
    if not found.gateways:
        told += [f"No gateway was found: {problem}" for problem in found.problems]
        told.append(
            "Looked for: $OPENCLAW_CONFIG_PATH, $OPENCLAW_STATE_DIR, ~/.openclaw/openclaw.json, ~/.openclaw-<profile>, "
            "the lock files of running gateways, and openclaw fleet cells."
        )
        placeholder = FoundGateway(url=PLACEHOLDER, note="nothing. Fill in url (and token) of your gateway.")
        return Findings((placeholder,), tuple(told))
    meant: DiscoveredGateway | None = None
    with suppress(DiscoveryError):
        meant = machine.meant()
    for gateway in found.gateways:
        told.append(
            f"Found {_name(gateway, meant)}: {gateway.url}, {_state(gateway)}, configured by {gateway.config_path}."
        )
        told += [f"  {note}" for note in gateway.notes]
    entries = _entries(found.gateways, meant)
    if entries[0].stands_for_all:
        told.append(
            "discover: local stands for all of them that are on this machine, and for those that come: the others are "
            "watched from when they are first seen running."
        )
    names = [entry.token[2:-1] for entry in entries if entry.token]
    return Findings(tuple(entries), tuple(told), tuple(name for name in names if not env.get(name)))


def _entries(gateways: Sequence[DiscoveredGateway], meant: DiscoveredGateway | None) -> list[FoundGateway]:
    """One gateway is named for itself; several of this machine are one entry, and each elsewhere has its own. A fleet cell
    is never alone: others come, and its token is in no file that a person could name."""
    here = [gateway for gateway in gateways if is_local(gateway.url) and gateway.missing is None]
    if len(here) < 2 and not any(gateway.cell is not None for gateway in here):
        return [_entry(gateway, meant) for gateway in gateways]
    note = "; ".join(f"{_name(gateway, meant)}, {_note(gateway)}" for gateway in here)
    name = next((_name(gateway, meant) for gateway in here if _is(gateway, meant)), LOCAL)
    # The one the environment means is the first that the entry stands for, wherever it is.
    elsewhere = [_entry(gateway, meant) for gateway in gateways if gateway not in here and not _is(gateway, meant)]
    return [FoundGateway(name=name, stands_for_all=True, note=note), *elsewhere]


def _entry(gateway: DiscoveredGateway, meant: DiscoveredGateway | None) -> FoundGateway:
    if _is(gateway, meant):
        # Left to discovery: a moved port and a rotated token are found at every connection.
        return FoundGateway(name=_name(gateway, meant), note=_note(gateway))
    variable = f"OPENCLAW_{re.sub(r'[^A-Z0-9]+', '_', gateway.name.upper())}_TOKEN"
    return FoundGateway(
        name=gateway.name,
        url=gateway.url,
        state_dir=str(gateway.state_dir) if gateway.state_dir is not None else None,
        token=f"${{{variable}}}" if gateway.token_source is not None or gateway.missing is not None else None,
        note=_note(gateway),
    )


def _name(gateway: DiscoveredGateway, meant: DiscoveredGateway | None) -> str:
    """The name it has without a file, so that its history goes on."""
    return LOCAL if gateway.name == "default" and _is(gateway, meant) else gateway.name


def _state(gateway: DiscoveredGateway) -> str:
    if gateway.pid is not None:
        return f"running, pid {gateway.pid}"
    if gateway.is_running_in_container:
        return "running in its container"
    return "not known to run" if gateway.missing is not None else "not running"


def _note(gateway: DiscoveredGateway) -> str:
    return f"configured by {gateway.config_path}" + (f", running as pid {gateway.pid}" if gateway.pid else "")


def _is(gateway: DiscoveredGateway, meant: DiscoveredGateway | None) -> bool:
    return meant is not None and gateway.config_path == meant.config_path


def _target(output: Path | None, env: Mapping[str, str]) -> Path:
    if output is not None:
        path = output.expanduser().absolute()
        return path / FILE_NAME if path.is_dir() else path
    folder = user_folder(env)
    if folder is None:
        raise typer.BadParameter("no home folder is known: name a file", param_hint="--output")
    return folder / FILE_NAME


def write_whole(path: Path, text: str, *, keeps: bool = True) -> Path | None:
    """All of it or nothing, 0600 from its first byte on. ``keeps``: what was there before is kept beside it, and its place
    returned. Raises ``OSError``, and all is as it was."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    _make(draft, text.encode())
    try:
        kept = _keep(path) if keeps and path.is_file() else None
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return kept


def _keep(path: Path) -> Path:
    """A copy of it under a name that nothing has: an older one may be the only file that somebody wrote by hand."""
    content = path.read_bytes()
    for number in itertools.count():
        copy = path.with_name(f"{path.name}.bak{f'.{number}' if number else ''}")
        with suppress(FileExistsError):
            _make(copy, content)
            break
    return copy


def _make(path: Path, content: bytes) -> None:
    """A new file, on the disk when this returns. Raises ``OSError`` and leaves none behind."""
    stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    try:
        with stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _next(path: Path, env: Mapping[str, str], findings: Findings) -> Iterator[str]:
    places = (Path(env[VARIABLE]).absolute(),) if env.get(VARIABLE) else search_paths(env, Path.cwd())
    first = next((place for place in places if place.exists()), None)
    option = ""
    if first is None or os.path.realpath(first) != os.path.realpath(path):
        option = f" --config {shlex.quote(str(path))}"
        if first is not None:
            yield f"note: {first} comes before it; name this one with --config, or remove the other"
    if any(gateway.url == PLACEHOLDER for gateway in findings.gateways):
        yield "fill in: gateways[0].url (and token, if it needs one)"
    for name in findings.to_set:
        yield f"set:  {name} (the gateway's token)"
    yield f"next: openclaw-watchdog doctor{option}"
    yield f"then: openclaw-watchdog run{option} --observe     (watches and tells, does nothing)"
    yield f"  or: openclaw-watchdog service install{option}   (in the background, from now on)"
