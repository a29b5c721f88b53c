"""``replay``: what another configuration would have done with what was seen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from watchdog.cli.screen import padded, screen, text_of, widest
from watchdog.cli.shared import ConfigOption, JsonOption, Leave, named_file, print_json, read_setting, say_error
from watchdog.config import Config
from watchdog.core.printable import meant, shown_key
from watchdog.core.spans import span_words
from watchdog.replay.gateway import SessionCourse
from watchdog.replay.player import Played, play
from watchdog.replay.reader import NotARecording, Recording
from watchdog.replay.recordings import earlier_part
from watchdog.replay.story import ASSUMPTIONS, Story, deeds, facts, stories
from watchdog.service.exits import Exit

_SIGNS = "¹²"
_WIDEST = 60
"""Columns up to which what would have been done is lined up."""


def add_to(app: typer.Typer) -> None:
    @app.command()
    def replay(
        file: Annotated[
            Path,
            typer.Argument(
                metavar="FILE", parser=named_file, help="A recording: recordings/GATEWAY.jsonl in the state folder."
            ),
        ],
        config: ConfigOption = None,
        session: Annotated[str | None, typer.Option("--session", metavar="KEY", help="Only this session.")] = None,
        as_json: JsonOption = False,
    ) -> None:
        """Play what the daemon saw through another configuration: what it would have done. Nothing is done.

        Also while the daemon goes on recording. The earlier part (GATEWAY.jsonl.1) is played first when it lies there.

        Exit status 65 if FILE is not a recording that can be read, 66 if it cannot be opened, 78 for a bad
        configuration.

        Example: `openclaw-watchdog replay ~/.local/state/openclaw-watchdog/recordings/local.jsonl --config new.yaml`
        """
        setting = read_setting(config)
        recording = Recording(parts_of(file))
        try:
            played = play(recording, setting.loaded.policy_book)
        except NotARecording as problem:
            say_error(str(problem))
            raise Leave(Exit.NO_RECORDING) from None
        except OSError as problem:
            say_error(f"{file} cannot be read: {(problem.strerror or 'it is no file').lower()}.")
            raise Leave(Exit.NOT_OPENED) from None
        played.notes = [*played.notes, *_notes(played, setting.loaded.config)]
        told = stories(played)
        if session is not None:
            session = meant(session, {story.key for story in told if story.key is not None})
        found = [story for story in told if session is None or story.key == session]
        if as_json:
            print_json({"file": str(file), **facts(played, found)})
            return
        for note in played.notes:
            say_error(f"note: {note}")
        _print(played, found, session)


def parts_of(file: Path) -> tuple[Path, ...]:
    """The recording and the one before it, oldest first."""
    is_later = file.name.endswith(".jsonl") and file.exists()
    return (earlier_part(file), file) if is_later and earlier_part(file).is_file() else (file,)


def _notes(played: Played, config: Config) -> list[str]:
    notes = []
    if config.poll_every != played.head.poll_every:
        notes.append(
            f"the passes come as they were recorded, every {span_words(played.head.poll_every)}, whatever poll_every says."
        )
    if played.lent:
        notes.append(
            f"{played.lent} looks at transcripts that nobody made then are taken from later ones of the same run, which "
            "show that nothing was written in between."
        )
    if played.unknown:
        notes.append(
            f"{played.unknown} looks were not made then and cannot be known; what they leave open counts as unknown, and "
            "unknown never leads to a deed."
        )
    return notes


def _print(played: Played, found: list[Story], session: str | None) -> None:
    console = screen()
    assert played.began_at is not None
    assert played.ended_at is not None
    lasted = f"{played.began_at:%Y-%m-%d %H:%M:%SZ} to {played.ended_at:%Y-%m-%d %H:%M:%SZ}"
    seen = f"{played.passes} passes, {len(played.sessions)} sessions"
    console.print(text_of(((played.head.gateway, "bold"), f"  {lasted}, {seen}")))
    console.print(f"  this configuration would have done: {_count(deeds(played.would))}")
    console.print(f"  done at the time:                   {_count(deeds(played.was))}")
    assumptions = [world for world in SessionCourse if any(world in story.worlds for story in found)]
    for story in found:
        _print_story(console, story, "".join(_SIGNS[assumptions.index(world)] for world in story.assumptions))
    if assumptions:
        console.print()
    for world, sign in zip(assumptions, _SIGNS, strict=False):
        console.print(text_of(((f"{sign} {ASSUMPTIONS[world]}", "dim"),)))
    if not found:
        console.print()
        nothing = "Nothing was suspect." if session is None else f"Nothing to tell about {shown_key(session)}."
        console.print(text_of((nothing,)))


def _print_story(console: Console, story: Story, signs: str) -> None:
    name = shown_key(story.key) if story.key is not None else "the gateway as a whole"
    console.print()
    console.print(text_of(((name, "bold"), f" {signs}", ("" if story.differs else "  the same", "dim"))))
    rows: list[tuple[str, str, str]] = []
    day = None
    for at, would, was in story.rows():
        shown = f"{at:%H:%M:%SZ}" if at.date() == day else f"{at:%m-%d %H:%M:%SZ}"
        day = at.date()
        rows.append((shown, would, was))
    times = widest((shown for shown, _, _ in rows), _WIDEST)
    column = widest(["this configuration", *(would for _, would, _ in rows)], _WIDEST)
    heading = f"  {'':<{times}}  {'this configuration':<{column}}  at the time"
    console.print(text_of(((heading, "dim"),)))
    for shown, would, was in rows:
        style = "" if would in (was, f"would {was}") else "yellow"
        console.print(text_of(((f"  {padded(shown, times)}  {padded(would, column)}  {was}", style),)))


def _count(counts: Counter[str]) -> str:
    if not counts:
        return "nothing"
    total = sum(counts.values())
    return (
        f"{total} deed{'s' if total != 1 else ''} ({', '.join(f'{count} x {step}' for step, count in counts.items())})"
    )
