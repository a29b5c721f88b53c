"""Every shell block of README and docs is marked with how it is tested, ``<!-- tested: … -->`` on the line before it.

``run``: typed into a shell here, as it stands; ``run, SITUATION``: where that is so. ``elsewhere, FILES``: these have its commands,
which is checked. ``read, WHY``: its words alone, as every block's in ``test_commands_shown``, and why it cannot be more.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
MARK = re.compile(r"(run)(?:, (.+))?|(elsewhere), (.+)|(read), (.+)")
SITUATIONS = (None, typist.WATCHED, typist.QUARANTINED, typist.LOST)
MISSING = [name for name in ("bash", "setsid", "sqlite3", "ssh", "yes") if shutil.which(name) is None]
STATUSES = {f"{PROGRAM} check": 2}
"""As for Nagios: one is stuck."""
SAYS = {
    "pipx install": ["connected to OpenClaw", "CRITICAL - 1 stuck", "started it"],
    f"{PROGRAM} approve": ["no approval waits"],
    f"{PROGRAM} history": ["quarantined", "HOLDS   quarantined"],
    "git pull": ["nothing to do: installed, enabled and running", "connected to OpenClaw", "OK   service"],
    f"{PROGRAM} release": ["accepted"],
    f"{PROGRAM} service uninstall": ["stopped and disabled it"],
    "systemctl --user stop": ["paused everything", KEY, "1 pause ended"],
    f"{PROGRAM} run --config": [KEY],
    f"{PROGRAM} pause": ["for 2h", "1 pause ended", f"released {KEY}", f"acknowledged {KEY}", "recovered"],
    "ssh": ["localforward"],
}
"""What some say, among the rest."""
READS_ON = "--follow"
"""What makes a command never end: without it elsewhere."""
HELP = {
    "git": ("git", "{verb}", "-h"),
    "make": ("make", "--help"),
    "pip": (sys.executable, "-m", "pip", "{verb}", "--help"),
    "pipx": ("pipx", "{verb}", "--help"),
    "podman": ("podman", "{verb}", "--help"),
    "promtool": ("promtool", "--help"),
    "kubectl": ("kubectl", "{verb}", "--help"),
    "sqlite3": ("sqlite3", ":memory:", ".help"),
    "ssh": ("ssh",),
    "systemctl": ("systemctl", "--help"),
    "uv": ("uv", "tool", "{verb}", "--help"),
    "uvx": ("uvx", "--help"),
}
"""Where programs of others say what they can do."""


@dataclass(frozen=True)
class Block:
    place: str
    mark: str | None
    text: str

    @property
    def said(self) -> re.Match[str] | None:
        return MARK.fullmatch(self.mark or "")

    @property
    def commands(self) -> list[list[str]]:
        return [shlex.split(line, comments=True) for line in typist.lines_of(self.text)]


def _blocks(name: str, text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        yield Block(f"{name}:{text.count(chr(10), 0, found.start(2))}", found[1], found[2])


DOCUMENTS = {
    str(document.relative_to(REPOSITORY)): document.read_text("utf-8")
    for document in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))
}
BLOCKS = {name: list(_blocks(name, text)) for name, text in DOCUMENTS.items()}
EVERY = [block for blocks in BLOCKS.values() for block in blocks]
RUN = {
    name: here
    for name, blocks in BLOCKS.items()
    if (here := [block for block in blocks if block.said is not None and block.said[1]])
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with typist.program(tmp_path_factory.mktemp("program")) as door:
        yield door


def test_every_block_says_how_it_is_tested() -> None:
    for block in EVERY:
        assert block.said is not None, f"{block.place}: {block.mark}"
        assert block.said[1] is None or block.said[2] in SITUATIONS, f"{block.place}: {block.mark}"
    assert sum(map(len, RUN.values())) >= 12, "most are typed"
    assert sum(block.said is not None and bool(block.said[5]) for block in EVERY) <= 1, (
        "what can be done is better than read"
    )


def test_a_block_without_a_mark_is_noticed() -> None:
    shown = "text\n```sh\nls\n```\n<!-- tested: run -->\n```sh\ntrue\n```\n```console\n$ ls\n```\n"
    assert [block.mark for block in _blocks("x", shown)] == [None, "run", None]
    assert not MARK.fullmatch("elsewhere")
    assert not MARK.fullmatch("read")


def _left_out(block: Block, files: str) -> list[str]:
    """What of its commands is not in them: a program with its verb, an option; of a document, a command."""
    assert files, block.place
    texts = [(REPOSITORY / file).read_text("utf-8") for file in files.split()]
    flat = " ".join(" ".join(re.sub(r"[\"'(),@$]|\\\n", " ", text).split()) for text in texts)
    lines = [line for text in texts for line in re.sub(r"\\\n", " ", text).splitlines()]
    missing = []
    for words in block.commands:
        if words[0] == "export":
            wanted = [words[1].partition("=")[0]]
        elif files.endswith(".md"):
            wanted = [" ".join(words)]
        else:
            named = 3 if words[0] == "uv" else 1 if words[1].startswith("-") else 2
            wanted = [" ".join(words[:named]), *(word for word in words if word.startswith("--") and word != READS_ON)]
            wanted += [" ".join(words[words.index(PROGRAM) :])] if words[0] == "uvx" else []
        not_there = [word for word in wanted if word not in flat]
        if not not_there and files == "Makefile" and not any(all(word in line for word in wanted) for line in lines):
            not_there = [" ".join(wanted)]  # each stands there, and no line has them together
        missing += not_there
    return missing


@pytest.mark.parametrize("block", [one for one in EVERY if one.said and one.said[3]], ids=lambda block: block.place)
def test_what_is_tested_elsewhere_is(block: Block) -> None:
    assert block.said is not None
    assert _left_out(block, block.said[4]) == []


def test_what_is_not_there_is_noticed() -> None:
    shown = Block("x", None, "make demo\nmake demos\npodman run --detach --quick x\n")
    assert _left_out(shown, "tests/newcomer.py tests/container/pod.py") == ["make demos", "--quick"]
    assert _left_out(Block("x", None, "uv tool install --wheel-dir x\n"), "Makefile") == ["uv tool install --wheel-dir"]
    assert _left_out(Block("x", None, f"uvx --from x {PROGRAM} chek\n"), "Makefile") == [f"{PROGRAM} chek"]


def test_what_others_programs_are_given_they_have() -> None:
    """Where they are here. In a line with ``&&`` or ``|`` each part is one."""
    asked = 0
    for block in EVERY:
        for line in block.commands:
            parts = " ".join(map(shlex.quote, line)).replace("'&&'", "\n").replace("'|'", "\n").splitlines()
            for words in map(shlex.split, parts):
                program, arguments = words[0], words[1:]
                if program not in HELP or shutil.which(HELP[program][0]) is None:
                    continue
                verb = next((word for word in arguments if not word.startswith("-") and word != "tool"), "")
                asking = [word.format(verb=verb) for word in HELP[program]]
                done = subprocess.run(asking, capture_output=True, text=True, check=False)
                told = done.stdout + done.stderr
                options = [word.partition("=")[0] for word in arguments if word.startswith("--")]
                options += [word.split()[0] for word in arguments if program == "sqlite3" and word.startswith(".")]
                options += [verb] if program == "systemctl" else []
                asked += 1
                assert [one for one in options if one not in told] == [], f"{block.place}: {words}"
    assert asked


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("true  # fine\nls /nowhere && true\n", "ended with 2: ls /nowhere"),
        (f"{PROGRAM} run --config nowhere.yaml\n", "nowhere.yaml"),
        (f"{PROGRAM} status\n", "ended with 3: "),
    ],
)
def test_a_line_that_fails_is_noticed(block: str, words: str, door: Path, tmp_path: Path) -> None:
    with typist.home(tmp_path, door) as home:
        home.types("export SHOWN=1\ncd bin\ntest -e pipx  # one after the other, in one shell\n")
        with pytest.raises(AssertionError, match=re.escape(words)):
            home.types(block)


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", RUN)
def test_the_blocks_of_a_document_are_typed_one_after_the_other(document: str, door: Path, tmp_path: Path) -> None:
    with typist.home(tmp_path, None if document == "README.md" else door) as home:
        trial = re.search(r"^```yaml\n# try\.yaml\n(.*?)^```$", DOCUMENTS[document], re.DOTALL | re.MULTILINE)
        if trial is not None:
            home.puts("try.yaml", f"{trial[1]}status_page: {{listen: 127.0.0.1:{home.page}}}\n")
        for block in RUN[document]:
            assert block.said is not None
            if block.said[2] is not None:
                home.supposes(block.said[2])
            said = home.types(block.text.replace("KEY", shlex.quote(KEY)).replace("/etc/prometheus", "~"), STATUSES)
            print(said)
            wanted = next((words for beginning, words in SAYS.items() if block.text.startswith(beginning)), [])
            assert [words for words in wanted if words not in said] == [], said
            assert "Traceback" not in said
