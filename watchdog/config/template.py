"""The commented configuration file, written from the models: the example in the repository and what ``init`` writes.

Every setting stands there with its own documentation above it: on, with its default, or off (``#key: example``), when
its default is null. Taking the ``#`` away turns it on.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from watchdog.config.changes import setting_text
from watchdog.config.document import read_document
from watchdog.config.models import Config, GatewayRestart, GatewaySection, ReplicasSection
from watchdog.config.references import refers_only
from watchdog.config.schema import plain
from watchdog.config.sections import MatchSection, PolicySection, RecoverySection, TextsSection, ThresholdsSection
from watchdog.core.printable import visible

WIDTH = 100
_GLUE = "\x1f"  # a space at which no line is broken
_INTRODUCTION = """\
Configuration of openclaw-watchdog.

Every setting is here. A line like '#key: value' is off: take the '#' away to turn it on. What is left out has its
default. Durations carry a unit: 30s, 20m, 72h, 1h30m, 90d.

Check this file:   openclaw-watchdog config check
What is in force:  openclaw-watchdog config show
A running daemon reads it again when it changes (or on SIGHUP), and keeps the old one when the new one has an error."""


@dataclass(frozen=True, slots=True)
class FoundGateway:
    """What ``init`` found out about one gateway. Never its token: the file refers to it, or leaves it to discovery."""

    name: str = "local"
    url: str | None = None
    """``None``: leave it to discovery at every connect."""
    state_dir: str | None = None
    token: str | None = None
    """A reference such as ``${OPENCLAW_GATEWAY_TOKEN}``; ``None``: discovered."""
    token_file: str | None = None
    note: str | None = None
    """One line about it, for example ``OpenClaw 2026.9.6``."""
    stands_for_all: bool = False
    """Without url: for every gateway of this machine (``discover: local``), not only for the one the environment means."""


def render_template(found: Sequence[FoundGateway] = (), *, schema: str | None = None) -> str:
    """The commented file with these gateways filled in; none: one that is discovered.

    ``schema``: path or URL of the JSON Schema for editors, relative to where the file will be. ``None``: no such line.
    """
    first = [f"# yaml-language-server: $schema={schema}"] if schema else []
    lines = [*first, *(f"# {line}".rstrip() for line in _INTRODUCTION.splitlines())]
    for name, field in Config.model_fields.items():
        lines += ["", *_comment(field)]
        match name:
            case "gateways":
                lines += ["gateways:", *_gateways(found or [FoundGateway()])]
            case "thresholds":
                lines += ["thresholds:", *_indented(_settings(ThresholdsSection))]
            case "recovery":
                lines += ["recovery:", *_indented(_settings(RecoverySection))]
            case "texts":
                lines += ["texts:", *_indented(_settings(TextsSection))]
            case "policies":
                lines += ["policies:", *_indented(_policies(field))]
            case "notify":
                lines += ["notify:", *(f"  #- {_flow(target, '')}" for target in _example(field))]
            case "replicas":
                lines += _off(["replicas:", *_indented(_settings(ReplicasSection))])
            case "gateway_restart":
                lines += _off(["gateway_restart:", *_indented(_settings(GatewayRestart, on=("command",)))])
            case _:
                lines += _setting(name, field)
    return "\n".join(lines) + "\n"


def render_example() -> str:
    """``config/watchdog.example.yaml``, beside ``config/schema.json``."""
    return render_template(schema="./schema.json")


def _settings(model: type[BaseModel], values: Mapping[str, Any] | None = None, *, on: Sequence[str] = ()) -> list[str]:
    """Each field of a section with its documentation. ``values`` go in place of defaults."""
    values = values or {}
    lines: list[str] = []
    for name, field in model.model_fields.items():
        lines += _comment(field)
        if name in values:
            lines.append(f"{name}: {_scalar(values[name])}")
        elif name in on:
            lines.append(f"{name}: {_flow(_example(field))}")
        else:
            lines += _setting(name, field)
    return lines


def _setting(name: str, field: FieldInfo) -> list[str]:
    """``key: default``, or ``#key: example``."""
    if field.default is None:
        return [f"#{name}: {_flow(_example(field))}"]
    return [f"{name}: {default_text(field)}"]


def default_text(field: FieldInfo) -> str:
    """A field's default as its documentation spells it (``60m``), else as we would (``1h``)."""
    said = re.search(r"Default (.*)\.$", plain(field.description or ""))
    return said[1] if said else setting_text(field.default)


def _gateways(found: Iterable[FoundGateway]) -> list[str]:
    lines: list[str] = []
    for position, gateway in enumerate(found):
        if gateway.token and not refers_only(gateway.token):
            raise ValueError("a token itself does not go into the file, only a ${NAME} reference to it")
        given = {
            "url": gateway.url,
            "discover": "local" if gateway.stands_for_all else None,
            "token": gateway.token,
            "token_file": gateway.token_file,
            "state_dir": gateway.state_dir,
        }
        values = {name: value for name, value in given.items() if value}
        note = [f"# Found: {visible(' '.join(gateway.note.split()))}"] if gateway.note else []
        if position == 0:
            name = _comment(GatewaySection.model_fields["name"])
            rest = _settings(GatewaySection, values)
            lines += [
                *_indented([*note, *name]),
                f"  - name: {_scalar(gateway.name)}",
                *_indented(_without(name, rest), 4),
            ]
        else:
            short = [f"{name}: {_scalar(value)}" for name, value in values.items()]
            lines += ["", *_indented([*note, f"- name: {_scalar(gateway.name)}"]), *_indented(short, 4)]
    return lines


def _without(name_comment: list[str], lines: list[str]) -> list[str]:
    """The settings of a gateway without its name, which stands first."""
    at = lines.index(name_comment[0])
    return lines[:at] + lines[at + len(name_comment) + 1 :]


def _policies(field: FieldInfo) -> list[str]:
    shown, *others = _example(field)
    lines = [*_comment(PolicySection.model_fields["name"]), f"- name: {shown['name']}"]
    lines += [*_indented(["match:", *_indented(_settings(MatchSection, on=tuple(shown["match"])))])]
    lines += _indented([f"recovery: {_flow(shown['recovery'])}"])
    for other in others:
        item = [f"- name: {other['name']}"]
        item += [f"  {name}: {_flow(value)}" for name, value in other.items() if name != "name"]
        lines += _off(item)
    return lines


def _comment(field: FieldInfo) -> list[str]:
    text = re.sub(r"Default .{1,60}$", lambda said: said[0].replace(" ", _GLUE), plain(field.description or ""))
    lines: list[str] = []
    for line in text.split("\n"):
        more = "  " if line.startswith("- ") else ""
        lines += textwrap.wrap(line, WIDTH, subsequent_indent=more, break_long_words=False, break_on_hyphens=False)
    return [f"# {line.replace(_GLUE, ' ')}" for line in lines]


def _indented(lines: Iterable[str], by: int = 2) -> list[str]:
    return [" " * by + line if line else line for line in lines]


def _off(lines: Iterable[str]) -> list[str]:
    return [f"#{line}" for line in lines]


def _example(field: FieldInfo) -> Any:
    return (field.examples or [None])[0]


def _flow(value: Any, outer: str = "") -> str:
    """A value on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {_flow(item, '{')}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_flow(item, "[") for item in value) + "]"
        case str():
            return _scalar(value, inside=bool(outer))
    return json.dumps(value)


def _scalar(text: str, *, inside: bool = False) -> str:
    """Text as YAML reads it back: bare where that works, else in quotes."""
    line = f"[{text}]" if inside else f"k: {text}"
    document = read_document(line, "")
    reads_back = document.root == ([text] if inside else {"k": text}) and not document.problems
    return text if reads_back else json.dumps(text, ensure_ascii=False)
