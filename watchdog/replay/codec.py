"""Frozen values of the core as plain JSON data and back: defaults left out, instants as whole microseconds since 1970.

What a recording must not hold is taken out here, before anything is turned into data: a person's words, where they read
them, error texts of runs, folders of this machine.
"""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from watchdog.core.address import chat_of
from watchdog.core.model import (
    GatewayFacts,
    Look,
    MalformedRow,
    Moment,
    Preflight,
    ReplyAddress,
    Sender,
    SenderKind,
    Session,
)
from watchdog.core.recovery import telling_word
from watchdog.service import errors
from watchdog.service.ports import Wants

ELSEWHERE = "(not recorded)"
"""Stands where a recording only says that there was something."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ASPECTS = {"t": "tail", "l": "lock", "p": "preflight", "a": "abort_probe", "q": "pending", "w": "people"}
_Value = TypeVar("_Value")
Scrub = Callable[[str], str]


class Unreadable(ValueError):
    """Data that is not what this program writes."""


# ---------------------------------------------------------------- any frozen value


def micros(at: datetime) -> int:
    """Whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant(value: object) -> datetime:
    """The way back from ``micros``. Raises ``Unreadable``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable("an instant is not a whole number")
    try:
        return _EPOCH + timedelta(microseconds=value)
    except OverflowError:
        raise Unreadable("an instant is out of range") from None


def plain(value: Any) -> Any:
    """``value`` as JSON data."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for field in fields(value):
            item = getattr(value, field.name)
            if not _is_default(field, item):
                found[field.name] = plain(item)
        return found
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    if isinstance(value, frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _is_default(field: Any, item: Any) -> bool:
    return field.default is not MISSING and item == field.default


def value_of(kind: type[_Value], data: object) -> _Value:
    """The way back from ``plain``. Keys nobody knows are passed over. Raises ``Unreadable``."""
    if not isinstance(data, Mapping):
        raise Unreadable(f"a {kind.__name__} is not an object")
    hints = _hints(typing.cast(typing.Hashable, kind))
    found = {name: _read(hints[name], item) for name, item in data.items() if name in hints}
    try:
        return kind(**found)
    except TypeError:
        raise Unreadable(f"a {kind.__name__} lacks a part") from None


@cache
def _hints(kind: typing.Hashable) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, data: object) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [option for option in typing.get_args(kind) if option is not type(None)]
        return None if data is None else _read(inner[0], data)
    if origin in (tuple, frozenset):
        if not isinstance(data, list):
            raise Unreadable("a list is something else")
        items = (_read(typing.get_args(kind)[0], item) for item in data)
        return tuple(items) if origin is tuple else frozenset(items)
    if kind is datetime:
        return instant(data)
    if kind is timedelta:
        return instant(data) - _EPOCH
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError:
            raise Unreadable(f"{kind.__name__} has no such word") from None
    if is_dataclass(kind):
        return value_of(typing.cast(type, kind), data)
    if not isinstance(kind, type) or not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise Unreadable("a value has another type")
    return data


# ---------------------------------------------------------------- what is recorded of the core's values


def session_data(row: Session) -> dict[str, Any]:
    """A row without its key, its name, its error text and the address of its person."""
    address = row.reply_address
    kept = replace(
        row,
        name=None,
        last_run_error=None,
        reply_address=_pseudonymous(address, row.key) if address is not None else None,
        last_writer=_pseudonym(row.last_writer, row.key) if row.last_writer is not None else None,
    )
    data: dict[str, Any] = plain(kept)
    del data["key"]
    return data


def _pseudonymous(address: ReplyAddress, key: str) -> ReplyAddress:
    """Where nobody can be read from, and where the same chat is still the same: what decides is whether two of them are."""
    chat, thread = chat_of(address)
    return ReplyAddress(address.channel, f"{address.channel}:{_pseudonym(chat, key)}", address.account_id, thread)


def _pseudonym(who: str, key: str) -> str:
    """Another name for a person or chat, equal for equal ones; digits for digits. What the session's key says stays."""
    if who.lower() in key.lower().split(":"):
        return who
    nick, mark, rest = who.partition("!")
    if mark:  # IRC: nick!user@host is the person of the chat nick
        return f"{_pseudonym(nick, key)}!{_pseudonym(rest, key)}"
    digest = hashlib.blake2s(who.lower().encode("utf-8", "replace"), digest_size=6).digest()
    return str(int.from_bytes(digest, "big")) if who.isdigit() else f"somebody-{digest.hex()}"


def session_of(key: str, data: object) -> Session:
    if not isinstance(data, Mapping):
        raise Unreadable("a row is not an object")
    return value_of(Session, {**data, "key": key})


def facts_data(facts: GatewayFacts) -> dict[str, Any]:
    shown = replace(facts, state_dir=ELSEWHERE if facts.state_dir is not None else None, signs=None, untried=None)
    data: dict[str, Any] = plain(shown)
    return data


def malformed_data(row: MalformedRow, scrub: Scrub) -> dict[str, Any]:
    data: dict[str, Any] = plain(replace(row, reason=scrub(row.reason)))
    return data


def look_data(look: Look, key: str, scrub: Scrub) -> dict[str, Any]:
    """A look without anybody's words and names. When a preflight was asked follows from the pass."""
    tail = look.tail
    if tail is not None:
        asked = tuple(replace(one, words=ELSEWHERE, sender=_nameless(one.sender, key)) for one in tail.asked)
        request = ELSEWHERE if tail.request is not None else None
        tail = replace(tail, request=request, last_answer=None, asked=asked)
    rights = tuple(replace(one, sender_id=_pseudonym(one.sender_id, key)) for one in look.rights)
    problems = tuple(scrub(problem) for problem in look.problems)
    data: dict[str, Any] = plain(replace(look, tail=tail, preflight=None, problems=problems, rights=rights))
    if look.preflight is not None:
        data["busy"] = look.preflight.total_active
        if look.preflight.is_recovering is not None:
            data["recovering"] = look.preflight.is_recovering
    return data


def _nameless(sender: Sender, key: str) -> Sender:
    is_person = sender.kind is SenderKind.PERSON and sender.id is not None
    return replace(sender, name=None, id=_pseudonym(sender.id, key) if is_person and sender.id else sender.id)


def look_of(data: object, at: Moment) -> Look:
    """``at``: when it was looked. What ``look_data`` made, ``recovering`` excepted in recordings of before."""
    if not isinstance(data, Mapping):
        raise Unreadable("a look is not an object")
    look = value_of(Look, {name: item for name, item in data.items() if name != "preflight"})
    busy = data.get("busy")
    if busy is None:
        return look
    recovering = data.get("recovering")
    named = _read(bool, recovering) if recovering is not None else None
    return replace(look, preflight=Preflight(_read(int, busy), at, named))


def wants_mask(wants: Wants) -> str:
    return "".join(letter for letter, name in _ASPECTS.items() if getattr(wants, name))


def wants_of(mask: object) -> Wants:
    if not isinstance(mask, str):
        raise Unreadable("what was looked up is not text")
    return Wants(**{name: letter in mask for letter, name in _ASPECTS.items()})


# ---------------------------------------------------------------- errors

_ERRORS: Mapping[str, type[errors.GatewayError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.GatewayError)
}


def error_data(problem: errors.GatewayError, scrub: Scrub) -> dict[str, Any]:
    """Its kind, its sentence, and what policy reads of it; of a gateway's own words only those that mean something."""
    data: dict[str, Any] = {"kind": type(problem).__name__, "text": scrub(str(problem))}
    if isinstance(problem, errors.RequestRefused):
        detail = telling_word(problem.code, problem.detail)
        data |= {"text": f"refused ({scrub(problem.code)})", "detail": detail, "retryable": problem.retryable}
        if problem.says_retryable:
            data["says_retryable"] = True
    if isinstance(problem, errors.GatewayAway) and problem.said is not None:
        data["was_answered"] = True
    if isinstance(problem, errors.GatewayUnreachable):
        data["was_refused"] = problem.was_refused
    return data


def error_of(data: object) -> errors.GatewayError:
    """The way back; an unknown kind becomes the root, which every reader treats with most care."""
    if not isinstance(data, Mapping) or not isinstance(data.get("text"), str):
        raise Unreadable("an error is not one")
    kind, text = _ERRORS.get(str(data.get("kind")), errors.GatewayError), str(data["text"])
    if kind is errors.RequestRefused:
        detail, retryable = str(data.get("detail", "")), data.get("retryable") is True
        says_retryable = data.get("says_retryable") is True
        return errors.RequestRefused(
            text, code="REFUSED", detail=detail, retryable=retryable, says_retryable=says_retryable
        )
    if issubclass(kind, errors.GatewayAway):
        return kind(text, text if data.get("was_answered") is True else None)
    if kind is errors.GatewayUnreachable:
        return errors.GatewayUnreachable(text, was_refused=data.get("was_refused") is True)
    return kind(text)
