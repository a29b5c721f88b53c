"""What the documents show must exist: commands, options, configurations, pictures, files."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
import typer.main

from watchdog.cli.app import app
from watchdog.config import parse

REPOSITORY = Path(__file__).parents[3]
DOCUMENTS = [REPOSITORY / name for name in ("README.md", "docs/newcomer.md")]
DOCUMENTS += sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml"))
TEXT = {document: document.read_text("utf-8") for document in DOCUMENTS}
LARGEST = 150_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_into_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT[document]) + re.findall(r'src="([^"]+)"', TEXT[document])
    inside = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in inside if not (document.parent / link).exists()] == []
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT[document].splitlines()
        if line.startswith("#")
    }
    assert [link for link in links if link.startswith("#") and link[1:] not in headings] == []


def test_pictures_are_small_and_ask_for_nothing_elsewhere() -> None:
    pictures = [one for one in (REPOSITORY / "docs").iterdir() if one.suffix in (".svg", ".webp")]
    assert len(pictures) > 4
    for picture in pictures:
        assert picture.stat().st_size <= LARGEST, picture.name
        if picture.suffix == ".svg":
            text = picture.read_text("utf-8")
            ElementTree.fromstring(text)
            assert not re.search(r"(?:href|src|url\()\W*https?:", text), picture.name


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", TEXT[DOCUMENTS[0]], re.DOTALL))
def test_every_configuration_shown_is_one(block: str) -> None:
    env = {"HOME": "/home/you", "OPENCLAW_GATEWAY_TOKEN": "t" * 16, "PAGER_URL": "ntfy://ntfy.sh/pager"}
    loaded = parse(block, env=env)
    assert [str(warning) for warning in loaded.warnings] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_shown_exists(document: Path) -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    shown = re.findall(r"openclaw-watchdog ((?:[a-z]+ ?)+)((?: --[a-z-]+| -[a-z]\b| [^-\s`#|]+)*)", TEXT[document])
    assert shown
    for words, rest in shown:
        command: typer.core.TyperGroup | typer.core.TyperCommand = root
        for word in words.split():
            if not isinstance(command, typer.core.TyperGroup):
                break
            found = command.get_command(typer.Context(command), word)
            assert isinstance(found, typer.core.TyperGroup | typer.core.TyperCommand), f"{words!r} in {document.name}"
            command = found
        known = {name for option in command.params for name in option.opts} | {"--help", "--install-completion"}
        for option in re.findall(r"(?<=\s)--[a-z-]+", f" {rest}"):
            assert option in known, f"{words}{rest} in {document.name}"


def test_every_sentence_of_the_troubleshooting_table_is_one_the_program_says() -> None:
    """Word for word, up to what varies: each piece of a quoted sentence stands in a string of the package."""
    section = TEXT[DOCUMENTS[0]].partition("## Troubleshooting")[2].partition("\n| you see")[0]
    quoted = [cell for row in re.findall(r"^\| (`.*?`)(?: \||, | / | and | FAIL|\s\()", section, re.MULTILINE)
              for cell in re.findall(r"`([^`]+)`", row)]  # fmt: skip
    assert len(quoted) > 12
    source = " ".join(
        re.sub(r'"\s*\n\s*f?"', "", file.read_text("utf-8")) for file in (REPOSITORY / "watchdog").rglob("*.py")
    )
    for sentence in quoted:
        for piece in re.split(
            r"…|\b[A-Z][A-Z:]+\b|\d+\.\d+\.\d+\.\d+:\d+|\(connection refused\)|\bN\b|, |process", sentence
        ):
            words = piece.strip(" ;:,=")
            if len(words.split()) > 2 and "in_force" not in words:
                assert words in source, f"{sentence!r}: {words!r}"
