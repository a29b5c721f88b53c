"""Every shell block of README and docs is marked with how it is tested, ``<!-- tested: … -->`` on the line before it.

``run``: typed into a shell here, as it stands. ``elsewhere``: by the target of make that is named. ``read``: its words alone, as
every block's in ``test_commands_shown``, and why it cannot be more.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.builders import KEY
from tests.unit.packaging import typist
from tests.unit.packaging.test_readme import REPOSITORY
from watchdog import PROGRAM

BLOCK = re.compile(
    r"(?:^ *<!-- tested: ([^\n]*) -->\n)?^ *```(?:sh|bash|shell|console)\b[^\n]*\n(.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
MARK = re.compile(r"run|elsewhere, .*`make ([a-z-]+)`.*|read, .+")
MISSING = [name for name in ("bash", "curl", "setsid", "sqlite3", "ssh") if shutil.which(name) is None]
FIRST_DAY = ("README.md", "docs/newcomer.md", "docs/zh/quickstart.md")
"""Their readers have no service yet."""
SAYS = {
    "pipx install": ["connected to OpenClaw", "CRITICAL - 1 stuck", "started it"],
    f"{PROGRAM} approve": ["no approval waits"],
    f"{PROGRAM} history": ["open          agent", "HOLDS   observe_mode"],
    "git pull": ["connected to OpenClaw"],
    f"{PROGRAM} release": ["no history was lost"],
    f"{PROGRAM} service uninstall": ["stopped and disabled it"],
    "systemctl --user stop": ["paused everything", KEY, "1 pause"],
    f"{PROGRAM} run --config": [KEY],
    f"{PROGRAM} pause": ["for 2h", "acknowledged", "recovered"],
    "ssh": ["localforward"],
}
"""What some say, among the rest."""


def _blocks(text: str) -> Iterator[tuple[int, str | None, str]]:
    """In which line each begins, its mark, its commands."""
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start(2)), found[1], found[2]


DOCUMENTS = {
    str(document.relative_to(REPOSITORY)): document.read_text("utf-8")
    for document in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))
}
RUN = {
    name: blocks
    for name, text in DOCUMENTS.items()
    if (blocks := [block for _, mark, block in _blocks(text) if mark == "run"])
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with typist.program(tmp_path_factory.mktemp("program")) as door:
        yield door


def test_every_block_says_how_it_is_tested() -> None:
    targets = re.findall(r"^([a-z0-9-]+):.*##", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    for name, text in DOCUMENTS.items():
        for line, mark, _ in _blocks(text):
            said = MARK.fullmatch(mark or "")
            assert said, f"{name}:{line}: {mark}"
            assert said[1] is None or said[1] in targets, f"{name}:{line}"
    assert len(RUN) >= len(FIRST_DAY) + 2


def test_a_block_without_a_mark_is_noticed() -> None:
    shown = "text\n```sh\nls\n```\n<!-- tested: run -->\n```sh\ntrue\n```\n```console\n$ ls\n```\n"
    assert [mark for _, mark, _ in _blocks(shown)] == [None, "run", None]


def test_no_block_is_run_of_which_all_is_done_by_stand_ins() -> None:
    """But ``ssh``, whose stand-in reads its words."""
    for block in [one for blocks in RUN.values() for one in blocks]:
        programs = {words[0] for line in block.splitlines() if (words := shlex.split(line, comments=True))}
        assert programs - (typist.STAND_INS.keys() - {"ssh"}), block


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
@pytest.mark.parametrize("document", RUN)
def test_the_blocks_of_a_document_are_typed_one_after_the_other(document: str, door: Path, tmp_path: Path) -> None:
    with typist.home(tmp_path, door) as home:
        trial = re.search(r"^```yaml\n# try\.yaml\n(.*?)^```$", DOCUMENTS[document], re.DOTALL | re.MULTILINE)
        if trial is not None:
            home.puts("try.yaml", f"{trial[1]}status_page: {{listen: 127.0.0.1:{home.page}}}\n")
        for block in RUN[document]:
            if document not in FIRST_DAY:
                home.after_the_first_day()
            said = home.types(block.replace("KEY", shlex.quote(KEY)).replace("/etc/prometheus", "~"))
            print(said)
            wanted = next((words for beginning, words in SAYS.items() if block.startswith(beginning)), [])
            assert [words for words in wanted if words not in said] == [], said
            assert "Traceback" not in said
