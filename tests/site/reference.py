"""The pages of ``docs/reference/``, as Markdown, from the models, the event names, the metrics, the exit statuses and the commands themselves."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from watchdog.config.schema import json_schema
from watchdog.service.events import LEVELS, Event
from watchdog.service.exits import Exit
from watchdog.status.metrics import PrometheusMeter

_DEFAULT = re.compile(r"\s*Default:? (.+?)\.?$", re.DOTALL)
_COMMANDS = """\
```{eval-rst}
.. typer:: watchdog.cli.app:app
   :prog: openclaw-watchdog
   :make-sections:
   :show-nested:
   :preferred: text
   :width: 68
```
"""


def configuration() -> str:
    """A table for ``watchdog.yaml`` and for each section in it: every setting with its meaning and default."""
    schema = json_schema()
    return "\n".join(_section(schema["$defs"], "", schema["properties"]))


def _section(sections: Mapping[str, Any], path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    yield _table(("setting", "means", "default"), (_setting(name, field) for name, field in settings.items()))
    for name, field in settings.items():
        for inner in re.findall(r"'#/\$defs/(\w+)'", str(field)):
            for section in (one for one in (sections[inner], *sections[inner].get("anyOf", ())) if "properties" in one):
                at = f"{path}{name}{'[]' if 'items' in field else ''}"
                yield f"## `{at}`\n\n{section['description']}\n"
                if not inner.endswith("Override"):
                    yield from _section(sections, f"{at}.", section["properties"])


def _setting(name: str, field: Mapping[str, str]) -> tuple[str, str, str]:
    text = field["description"]
    default = _DEFAULT.search(text)
    return f"`{name}`", text[: default.start()] if default else text, f"`{default[1]}`" if default else ""


def events() -> str:
    """Every event of the log with its level."""
    said = _docstrings(Event)
    return _table(
        ("event", "level", "note"), ((f"`{one}`", LEVELS[one].value, said.get(one.name, "")) for one in Event)
    )


def metrics() -> str:
    """Every metric of ``/metrics`` with its type and labels."""
    rows = []
    for family in filled_meter().registry.collect():
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels)
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append((f"`{name}`", family.type, ", ".join(f"`{one}`" for one in labels), family.documentation))
    return _table(("metric", "type", "labels", "means"), rows)


def filled_meter() -> PrometheusMeter:
    """A meter that shows every series there can be, each at least once."""
    meter = PrometheusMeter("1.2.3")
    meter.watch_gateways(["home"])
    meter.polled("home", 0.02, 1000)
    meter.gateway_up("home", is_up=True)
    meter.sessions("home", {"healthy": 1})
    meter.cycle_completed(datetime(2026, 11, 20, tzinfo=UTC))
    meter.incidents_open("home", 1)
    meter.quarantined("home", 1)
    meter.detection_delay(1.0)
    meter.attempt("home", "resume", "started")
    meter.held("home", "fleet_breaker")
    return meter


def exit_statuses() -> str:
    """Every exit status, and what it says of which verb."""
    said = _docstrings(Exit)
    words: dict[int, list[str]] = {}
    for name, member in Exit.__members__.items():
        words.setdefault(member.value, []).append(said[name])
    return _table(("exit status", "means"), ((str(number), "<br>".join(each)) for number, each in words.items()))


def commands() -> str:
    """Every verb's ``--help``; Sphinx runs it, for the page and for the man page."""
    return _COMMANDS


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/commands": commands,
    "docs/reference/configuration": configuration,
    "docs/reference/events": events,
    "docs/reference/exit-statuses": exit_statuses,
    "docs/reference/metrics": metrics,
}
"""Page, as Sphinx names it -> what stands where it says ``<!-- generated -->``."""


def _docstrings(words: type) -> dict[str, str]:
    """Member of an enumeration -> the text below it."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(words)).body if isinstance(node, ast.ClassDef))
    found = {}
    for member, text in pairwise(body):
        match member, text:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = " ".join(said.replace("``", "`").split())
    return found


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (heads, ("---",) * len(heads), *rows)
    return "".join(f"| {' | '.join(_cell(one) for one in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("\n- ", " • ").replace("\n", " ")
