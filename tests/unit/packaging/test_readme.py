"""What the documents show must exist: configurations, pictures, files, sentences. Commands: ``test_commands_shown``."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from watchdog.config import parse

REPOSITORY = Path(__file__).resolve().parents[3]
README = REPOSITORY / "README.md"
DOCUMENTS = [README, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "SECURITY.md"]
DOCUMENTS += sorted((REPOSITORY / "docs").rglob("*.md"))
DOCUMENTS += sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml"))
TEXT = {document: document.read_text("utf-8") for document in [*DOCUMENTS, REPOSITORY / "CHANGELOG.md"]}
CONFIGURATIONS = [
    pytest.param(block, id=f"{document.name}-{number}")
    for document, text in TEXT.items()
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL), 1)
]
LARGEST = 150_000


def _name(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


def _prose(document: Path) -> str:
    """Without what stands there as it is typed or printed: a ``#`` in it is no heading, brackets are no link."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", TEXT[document], flags=re.DOTALL | re.MULTILINE))


def _links(document: Path) -> list[str]:
    text = _prose(document)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    return [link for link in links if "://" not in link]


def _anchors(document: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    text = re.sub(r"^```.*?^```", "", TEXT[document], flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _leads_somewhere(document: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = (document.parent / file).resolve() if file else document
    return target.exists() and (not anchor or anchor in _anchors(target))


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 10_240, "what is longer has its place in docs/"


@pytest.mark.parametrize("document", TEXT, ids=_name)
def test_every_link_into_the_repository_leads_somewhere(document: Path) -> None:
    assert [link for link in _links(document) if not _leads_somewhere(document, link)] == []


def test_links_and_anchors_that_lead_nowhere_are_noticed() -> None:
    assert _leads_somewhere(README, "docs/deciding.md#in-whose-name")
    assert not _leads_somewhere(README, "docs/deciding.md#in-nobodys-name")
    assert not _leads_somewhere(README, "docs/nothing.md")


def test_every_document_is_in_the_index() -> None:
    index = REPOSITORY / "docs/README.md"
    linked = {(index.parent / link).resolve() for link in _links(index)}
    assert [_name(one) for one in index.parent.glob("*.md") if one != index and one not in linked] == []


def test_pictures_are_small_and_ask_for_nothing_elsewhere() -> None:
    pictures = [one for one in (REPOSITORY / "docs").iterdir() if one.suffix in (".svg", ".webp")]
    assert len(pictures) > 4
    for picture in pictures:
        assert picture.stat().st_size <= LARGEST, picture.name
        if picture.suffix == ".svg":
            text = picture.read_text("utf-8")
            ElementTree.fromstring(text)
            assert not re.search(r"(?:href|src|url\()\W*https?:", text), picture.name


@pytest.mark.parametrize("block", CONFIGURATIONS)
def test_every_configuration_shown_is_one(block: str) -> None:
    env = {"HOME": "/home/you", "OPENCLAW_GATEWAY_TOKEN": "t" * 16, "PAGER_URL": "ntfy://ntfy.sh/pager"}
    loaded = parse(block, env=env)
    assert [str(warning) for warning in loaded.warnings] == []


def test_every_messages_title_is_where_one_reads_what_to_do() -> None:
    """In docs/howto.md; ``…`` stands for what differs, a title's end may be left out."""
    messages, howto = TEXT[REPOSITORY / "docs/messages.md"], TEXT[REPOSITORY / "docs/howto.md"]
    section = howto.partition("## Read an alert")[2].partition("\n## ")[0]
    named = [
        re.sub(r"\b(KEY|N)\b", "…", re.sub(r"\s+", " ", one))
        for one in re.findall(r"\*\*(.+?)\*\*", section, re.DOTALL)
    ]
    patterns = ["".join(".+" if part == "…" else re.escape(part) for part in re.split("(…)", one)) for one in named]
    titles = re.findall(r"^`[a-z_]+`: \*\*(.+)\*\*$", messages, re.MULTILINE)
    assert len(titles) > 50
    unnamed = [one for one in titles if not any(re.match(pattern, one) for pattern in patterns)]
    assert unnamed == ["Test from openclaw-watchdog"], "which whoever gets it asked for"


def test_every_sentence_of_the_troubleshooting_table_is_one_the_program_says() -> None:
    """Word for word, up to what varies: each piece of a quoted sentence stands in a string of the package."""
    section = TEXT[REPOSITORY / "docs/troubleshooting.md"].partition("\n| you see")[0]
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
