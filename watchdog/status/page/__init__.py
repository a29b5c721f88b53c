"""The status page's HTML, put together from ``page.html``, ``page.css``, the scripts of this folder and the words for people.

One file without anything outside it; the policy that goes with it allows exactly this style and this script, by hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from watchdog import PROGRAM
from watchdog.service.announcements import phrases

SCRIPTS = ("words.js", "timeline.js", "page.js")
TABLES: Mapping[str, Mapping[str, str]] = {
    "VERDICTS": phrases.VERDICTS,
    "OUTCOMES": phrases.OUTCOMES,
    "STEPS": phrases.STEP_NAMES,
    "ENDINGS": phrases.RESULTS,
    "PHASES": {**phrases.PHASES, "unseen": "first look"},
}
"""The same words as in messages and on the command line."""


@cache
def _part(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")


@cache
def _style() -> str:
    return _part("page.css")


@cache
def _script() -> str:
    words = [f"const {name} = {json.dumps(table)};" for name, table in TABLES.items()]
    body = "\n".join([*words, *(_part(name) for name in SCRIPTS)])
    return f'"use strict";\n(() => {{\n{body}\n}})();\n'


@cache
def page_html(config_file: str | None = None) -> bytes:
    """The page as it is sent. ``config_file``: what a command in it has to name, also where no script can (``LoadedConfig.to_name``)."""
    status = shlex.join([PROGRAM, "status", *(["--config", config_file] if config_file is not None else [])])
    text = _part("page.html").replace("{{style}}", _style()).replace("{{script}}", _script())
    # Last: it is the operator's, and nothing is filled into it.
    return text.replace("{{status}}", html.escape(status)).encode("utf-8")


def content_security_policy() -> str:
    """Only this page's own style and script, and only connections back to where it came from."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(_style())}",
            f"script-src {_hash(_script())}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
