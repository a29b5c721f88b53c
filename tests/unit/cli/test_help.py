"""``--help``: every verb says what it does, how it ends, and shows an example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.core
import typer.main
from typer.testing import CliRunner

from watchdog.cli.app import app


def _verbs(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Typer brings a click of its own, so groups are told by what they can do."""
    if isinstance(command, typer.core.TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from _verbs(command.get_command(context, name), *path, name)
    else:
        yield path, command


VERBS = dict(_verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_explains_itself(path: tuple[str, ...]) -> None:
    text = VERBS[path].help or ""
    assert f"Example: `openclaw-watchdog {' '.join(path)}" in text
    for option in VERBS[path].params:
        if option.param_type_name == "option":
            assert option.help, f"{path}: {option.name}"
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    assert "<bool>" not in done.stdout, "a flag takes no value"


@pytest.mark.parametrize("path", [path for path in VERBS if path[0] not in ("demo", "init")], ids=" ".join)
def test_every_verb_takes_a_configuration(path: tuple[str, ...]) -> None:
    names = {name for option in VERBS[path].params for name in option.opts}
    assert "--config" in names or (path[0] == "config" and path[1] in ("schema", "example", "dashboard", "alerts"))


def test_the_first_page_says_where_to_start() -> None:
    said = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout.split())
    for words in (
        "Start with init, doctor and run --observe",
        "$OPENCLAW_WATCHDOG_CONFIG",
        "78 the configuration is refused",
    ):
        assert words in said
    assert "<bool>" not in said
