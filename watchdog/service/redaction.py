"""Secrets and how they are kept out of anything that leaves the process: logs, errors, notifications.

This is the last defence, not the first: code never puts a token or a person's words into a log field. Two nets: known
secrets (registered when they are read) are cut out of every text; things that look like secrets (credentials in a URL,
``token=`` in a query, a bearer header, a field named ``password``) are cut out without being known.
Limit: a secret shorter than ``SHORTEST`` characters is masked only where it is a whole value, or every text would be full of holes.

Texts are a gateway's, too, and may be large: the work grows with the size of a text and not faster (187 KB of ``://`` held up
everything for 26 s once), and a text that is cut anyway is cut before.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from watchdog.service.secret import MASK

SHORTEST = 6
"""Registered secrets below this length are compared with whole values only."""

LIKELY_TOKEN = 16
"""From this length on a part of a target's URL is taken for a token."""

_WORD_IN_TEXT = re.compile(r"\S+")
_QUERY_SECRET = re.compile(
    r"(?P<name>[?&#;](?:[\w.-]*(?:token|password|passwd|secret|signature|api_?key|auth)|key|sig)=)[^&#;\s\"']+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?P<scheme>bearer|basic)\s+(?=\S*[0-9=+/_])[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)

_SINGULARS = frozenset(
    {"token", "password", "passwd", "passphrase", "secret", "credential", "authorization", "cookie", "apikey"}
    | {"message", "text", "body", "content", "prompt"}
)
_PLURALS = frozenset({"tokens", "passwords", "secrets", "credentials", "cookies", "messages", "texts"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Secrets:
    """The secrets known to this process. Shared by everything that writes; grows as secrets are read."""

    def __init__(self, values: Iterable[str | None] = ()) -> None:
        self._whole: set[str] = set()
        self._longest = LIKELY_TOKEN
        self._pattern: re.Pattern[str] | None = None
        self._adding = threading.Lock()
        """A configuration is read again beside the passes."""
        for value in values:
            self.add(value)

    def add(self, value: str | None) -> None:
        """Register one secret, also as it looks inside a URL or a ``repr``. Nothing or blanks: ignored."""
        if value is None or not value.strip():
            return
        with self._adding:
            self._whole |= {value, value.strip(), quote(value, safe=""), quote_plus(value), repr(value)[1:-1]}
            self._longest = max(map(len, self._whole))
            long = sorted((form for form in self._whole if len(form) >= SHORTEST), key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, long))) if long else None

    def add_url(self, url: str) -> None:
        """Register a URL that is a secret as a whole (a notification target), and each part of it that looks like one:
        ``tgram://<token>/<chat>``, ``https://host/hooks/<token>``."""
        self.add(url)
        for part in re.split(r"[/@?&=#:]+", url):
            if _looks_like_token(part):
                self.add(part)

    def scrub(self, text: str, most: int | None = None) -> str:
        """``text`` without any secret, known or apparent; its first ``most`` characters, the last of them an ellipsis."""
        if text in self._whole:
            return MASK
        if most is not None and len(text) > most:  # guard: wire: a log line is cut before it is masked
            return self._cut(text, most)
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        text = scrub_urls(text)
        if self._pattern is not None and self._pattern.search(text):
            return MASK  # the masking itself put one together
        return text

    def _cut(self, text: str, most: int) -> str:
        """A secret that the cut goes through must not show its first half: what may be half a secret ends up behind the cut,
        and of a URL that may have credentials further on nothing is left."""
        start, behind = text[: most + self._longest], self._longest
        if not start[-1].isspace():
            word = len(start) - len(start.rsplit(maxsplit=1)[-1])
            if (at := start.find("://", word)) >= 0:
                start, behind = f"{start[:at]}://{MASK}", 0
        clean = self.scrub(start)
        return clean[: min(most - 1, max(0, len(clean) - behind))] + "…"


def _looks_like_token(part: str) -> bool:
    # Words of a topic or a host must stay: a target ntfy://host/openclaw-watchdog would mask our own commands.
    is_mixed = any(char.isdigit() for char in part) or (part != part.lower() and part != part.upper())
    return len(part) >= LIKELY_TOKEN and "." not in part and is_mixed


def scrub_urls(text: str) -> str:
    """``text`` without what looks like a secret: URL credentials, secrets in a query or fragment, bearer headers."""
    if "://" in text and "@" in text:
        text = _WORD_IN_TEXT.sub(_without_credentials, text)
    text = _QUERY_SECRET.sub(rf"\g<name>{MASK}", text)
    return _BEARER.sub(rf"\g<scheme> {MASK}", text)


def _without_credentials(word: re.Match[str]) -> str:
    """From ``://`` to the last @: passwords may hold @ and /."""
    said = word[0]
    start, end = said.find("://"), said.rfind("@")
    return f"{said[:start]}://{MASK}{said[end:]}" if 0 <= start < end else said


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret or a person's words: its last word says so (``gatewayToken``,
    ``resume_message``; not ``token_file`` or ``total_tokens``, which is a count)."""
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(words) and (words[-1] in _SINGULARS | _PLURALS or words[-2:] == ["api", "key"])


def may_show(name: str, value: object) -> bool:
    """Whether ``value`` may be shown under ``name``: always where nothing is in it, and counts under a plural."""
    if not is_secret_name(name) or value is None or isinstance(value, bool):
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    return isinstance(value, int | float) and words[-1] in _PLURALS
