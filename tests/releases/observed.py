"""What is seen of a release on the way: the shapes of its answers, and the facts that ``capabilities`` has an opinion on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from watchdog.core.model import Capabilities, FlagWorth, LockWorth, Status
from watchdog.gateway import capabilities
from watchdog.gateway.sessions import rows, transcript
from watchdog.gateway.wire.hello import Hello
from watchdog.service import errors

_NAMES = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "object",
    type(None): "null",
}
ROW_FIELDS = (*(name for name in rows._Row.__struct_encode_fields__ if name != "modelProvider"), "isMain")
"""``modelProvider`` is read since most releases were tried: it would seem to have come between two of them; and ``isMain`` is read
no more: it would seem to have gone."""
ADDRESS_FIELDS = rows._DeliveryContext.__struct_encode_fields__
MESSAGE_FIELDS = transcript._Message.__struct_encode_fields__
META_FIELDS = transcript._Meta.__struct_encode_fields__
LIST_FIELDS = rows.ListEnvelope.__struct_encode_fields__
HISTORY_FIELDS = transcript.History.__struct_encode_fields__
METHODS = (
    "agent", "agent.wait", "channels.status", "chat.history", "chat.send", "config.get", "cron.runs", "exec.approval.list",
    "gateway.restart.preflight", "health", "openclaw.approval.list", "plugin.approval.list", "question.list", "send",
    "sessions.abort", "sessions.list", "sessions.recover", "sessions.reset", "sessions.send",
)  # fmt: skip
"""What this program calls, or asks after, on one version or another. A hello may hide some (2026.3.24)."""
ROLES = frozenset({"user", "assistant", "toolResult", "tool", "system", "compactionSummary", "compaction", "custom"})

Types = dict[str, set[str]]


@dataclass
class Shapes:
    """The types in which fields were seen, at every look, and what the watchdog's own readers cannot read."""

    fields: Types = field(default_factory=dict)
    statuses: set[str] = field(default_factory=set)
    stop_reasons: set[str] = field(default_factory=set)
    problems: dict[str, None] = field(default_factory=dict)

    def rows(self, answer: Mapping[str, Any]) -> None:
        """An answer of ``sessions.list``."""
        self._note("list", LIST_FIELDS, answer)
        for row in answer["sessions"]:
            self._note("row", ROW_FIELDS, row)
            self._note("row.deliveryContext", ADDRESS_FIELDS, row.get("deliveryContext"))
            status = row.get("status")
            self.statuses.add(str(status))
            if rows.status_of(status) is Status.OTHER:
                self.problems[f"a row's status is {status!r}, which is unknown"] = None
        _, malformed = rows.decode_rows([_raw(row) for row in answer["sessions"]], None)
        for each in malformed:
            self.problems[f"a row cannot be read: {each.reason}"] = None

    def history(self, answer: Mapping[str, Any]) -> None:
        """An answer of ``chat.history``."""
        self._note("history", HISTORY_FIELDS, answer)
        for message in answer["messages"]:
            self._note("message", MESSAGE_FIELDS, message)
            self._note("message.__openclaw", META_FIELDS, message.get("__openclaw"))
            if message.get("stopReason") is not None:
                self.stop_reasons.add(str(message["stopReason"]))
            if message.get("role") not in ROLES:
                self.problems[f"a message's role is {message.get('role')!r}, which is unknown"] = None
        try:
            transcript.read_tail(_raw(answer))
        except errors.RequestRefused as problem:
            self.problems[f"a history cannot be read: {problem}"] = None

    def hello(self, answer: Mapping[str, Any]) -> None:
        try:
            msgspec.json.decode(_raw(answer), type=Hello)
        except msgspec.DecodeError as problem:
            self.problems[f"the hello cannot be read: {problem}"] = None

    def _note(self, where: str, names: Iterable[str], found: object) -> None:
        if isinstance(found, Mapping):
            for name in names:
                if name in found:
                    self.fields.setdefault(f"{where}.{name}", set()).add(_NAMES[type(found[name])])


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def disagreements(version: str, methods: Iterable[str], facts: Mapping[str, Any]) -> list[str]:
    """Where what was seen is not what the watchdog believes of this version. ``facts``: as the trial writes them; what is
    missing was not seen."""
    parsed = capabilities.parse_version(version)
    if parsed is None:
        return [f"the version {version!r} cannot be read"]
    worth = capabilities.capabilities_of(version, frozenset(methods))
    said = [
        _flag(worth, facts),
        _lock(worth, facts),
        _differs("a Stop leaves the row running", worth.row_survives_stop, facts.get("stop_leaves_running")),
        _differs("the list comes in pages", parsed >= capabilities.FIRST_LISTING_IN_PAGES, facts.get("pages")),
        _differs("a person's words are wrapped", worth.wraps_prompts, facts.get("wraps_words")),
    ]
    if worth.boot_recovery == timedelta(0) and facts.get("resumes_at_boot"):
        said.append("the gateway takes up runs by itself after a start, and is believed not to")
    return [one for one in said if one is not None]


def _differs(what: str, believed: bool, seen: bool | None) -> str | None:
    if seen is None or seen is believed:
        return None
    return f"{what}: {'so it is' if seen else 'it is not so'}, and the opposite is believed"


def _flag(worth: Capabilities, facts: Mapping[str, Any]) -> str | None:
    """``flags``: of the live runs, what ``hasActiveRun`` said of each."""
    flags: Mapping[str, bool | None] = facts.get("flags") or {}
    lies = [name for name, flag in flags.items() if flag is False]
    if worth.active_run_flag is FlagWorth.TRUSTED and lies:
        return f"hasActiveRun is false for live runs ({', '.join(lies)}), and is trusted"
    is_there = any(flag is not None for flag in flags.values())
    if flags and is_there is (worth.active_run_flag is FlagWorth.ABSENT):
        return f"hasActiveRun is {'there' if is_there else 'missing'}, and the opposite is believed"
    if worth.active_run_flag is FlagWorth.PROVES_LIFE_ONLY and flags and not lies:
        return "hasActiveRun was true for every live run, and only its yes is believed"
    return None


def _lock(worth: Capabilities, facts: Mapping[str, Any]) -> str | None:
    held = facts.get("locks_whole_run")
    if held is None or held is (worth.lock is LockWorth.WHOLE_RUN):
        return None
    return f"a live run {'holds' if held else 'does not hold'} its transcript's lock, and the opposite is believed"
