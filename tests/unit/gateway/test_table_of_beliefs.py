"""The table in docs/releases.md is what the code believes. Written anew with ``WRITE_GOLDEN=1``."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from watchdog.core.model import Capabilities
from watchdog.core.spans import span_words
from watchdog.gateway import capabilities
from watchdog.gateway.capabilities import Version, capabilities_of

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/releases.md"
BEGIN, END = "<!-- beliefs -->", "<!-- /beliefs -->"
RELEASES = ("2026.3.24", "2026.4.14", "2026.5.18", "2026.8.2", "2026.9.6")


def _names() -> Iterator[str]:
    """Every fact, but what the gateway itself lists among its methods."""
    for name in (one.name for one in dataclasses.fields(Capabilities)):
        if name != "has_preflight":
            yield name
    for name, _ in inspect.getmembers(Capabilities, lambda member: isinstance(member, property)):
        yield name


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return span_words(value)
    return str(value).replace("_", " ")


def _release(version: Version) -> str:
    return ".".join(map(str, version))


def _table() -> str:
    columns = [capabilities_of(release, frozenset()) for release in (*RELEASES, "unreadable")]
    lines = [f"| fact | {' | '.join(RELEASES)} | unreadable version |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| `{name}` | {' | '.join(_word(getattr(one, name)) for one in columns)} |" for name in _names()]
    borders = {name: value for name, value in vars(capabilities).items() if re.match(r"(FIRST|LAST)_", name)}
    lines += ["", "| border | release |", "|---|---|"]
    lines += [f"| `{name}` | {_release(value)} |" for name, value in sorted(borders.items(), key=lambda one: one[1])]
    return "\n".join(lines)


def test_the_document_says_what_is_believed() -> None:
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("WRITE_GOLDEN"):
        DOCUMENT.write_text(f"{before}{BEGIN}\n{_table()}\n{END}{after}", "utf-8")
        return
    assert shown.strip() == _table()


def test_every_border_says_what_begins_or_ends_there() -> None:
    source = inspect.getsource(capabilities)
    silent = [
        name
        for name in re.findall(r"^((?:FIRST|LAST)_\w+): Version = .*$", source, re.MULTILINE)
        if not re.search(rf'^{name}: Version = .*\n"""', source, re.MULTILINE)
    ]
    assert silent == []
