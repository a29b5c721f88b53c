"""How Sphinx makes the site of the repository's own documents: ``make docs``. Their links stay those that work in the repository.

The tables of ``docs/README.md`` are the sidebar. Where a page of ``docs/reference/`` says ``<!-- generated -->``, the program
says the rest.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.site.reference import PAGES  # noqa: E402 - found by the line above
from watchdog import __version__  # noqa: E402

project = "OpenClaw session watchdog"
version = release = __version__
today = " "  # the man page is in the repository, and does not change with the day
html_title = f"{project} {__version__}"
html_theme = "furo"
html_extra_path = ["index.html"]
html_copy_source = html_show_copyright = False
extensions = ["myst_parser", "sphinxcontrib.typer"]
myst_enable_extensions = ["html_image"]
myst_heading_anchors = 3
nitpicky = True
root_doc = "docs/README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "docs/*.md"]
exclude_patterns = [".*", "build", "dist", "tests", "watchdog", "openclaw_simulator"]
man_pages = [("docs/reference/commands", "openclaw-watchdog", "finds stuck OpenClaw sessions and recovers them", "", 1)]
linkcheck_timeout = 15
linkcheck_ignore = [r"http://127\.0\.0\.1"]


def _tree(caption: str, pages: list[str]) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def _complete(_app: Sphinx, page: str, content: list[str]) -> None:
    text = content[0]
    if page == root_doc:
        text += _tree("In short", ["/README"])
        for caption, rows in re.findall(r"^\| (.+?) \| \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE):
            linked = re.findall(r"\]\(([\w./-]+)\.md\)", rows)
            text += _tree(caption.capitalize(), linked)
    elif page == "docs/decisions/README":
        text += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"
    content[0] = text.replace("<!-- generated -->", PAGES[page]() if page in PAGES else "")


def setup(app: Sphinx) -> None:
    app.connect("source-read", _complete)
