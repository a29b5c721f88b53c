"""A refusal by pydantic -> a ``Problem`` in plain words, at its line and column.

Only the kind and place of a refusal are taken from pydantic, never its text or its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from watchdog.config.document import Document
from watchdog.config.fields import REFUSAL, describe
from watchdog.config.models import LIST, WORD, Config, GatewaySection
from watchdog.config.problems import KeyPath, Problem, closest, quoted

_MAPPING = "expected a mapping ('key: value' lines)"
_EXPECTED = {
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "tuple_type": "expected a list",
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
}
_OTHER_NAMES = {
    "actions": "ladder",
    "agent_id": "agent",
    "check_every": "poll_every",
    "dry_run": "mode",
    "events": "on",
    "gateway": "gateways",
    "heartbeat": "heartbeat_url",
    "host": "url",
    "interval": "poll_every",
    "logging": "log",
    "notifications": "notify",
    "observe": "mode",
    "poll_interval": "poll_every",
    "poll_seconds": "poll_every",
    "retries": "attempts",
    "session": "key",
    "session_key": "key",
    "steps": "ladder",
    "webhook": "notify",
    "window": "per",
}
"""Words people try first, and ours for them."""


def problems_of(error: ValidationError, document: Document) -> Iterator[tuple[KeyPath, Problem]]:
    """Each refusal with the path of the setting it is about."""
    for detail in error.errors(include_url=False):
        path: KeyPath = tuple(part for part in detail["loc"] if part not in (WORD, LIST))
        kind = detail["type"]
        if kind == "default_factory_not_called":
            continue  # the name follows from the url, which was refused itself
        if kind == "extra_forbidden":
            hint = _unknown_key_hint(path)
            message = f"unknown key {quoted(str(path[-1]))}" + (f" in {_owner(path)}" if len(path) > 1 else "")
            yield path, document.problem(path, message, hint, key=True)
        elif kind == "missing":
            yield path, document.problem(path[:-1], f"'{path[-1]}' is missing", key=True)
        elif kind == REFUSAL:
            context = detail["ctx"]
            yield path, document.problem(path, f"{_subject(path)}: {context['message']}", context["hint"])
        else:
            expected = _EXPECTED.get(kind, "this value does not fit")
            message = f"{_subject(path)}: {expected}, found {describe(detail['input'])}"
            yield path, document.problem(path, message, _type_hint(kind, path, detail["input"]))


def _subject(path: KeyPath) -> str:
    """The setting a message is about, by the name a person looks for in the file."""
    names = [part for part in path if isinstance(part, str)]
    return names[-1] if names else "the file"


def _owner(path: KeyPath) -> str:
    """The section a key stands in: ``recovery.budget``, ``gateways``."""
    return "'" + ".".join(part for part in path[:-1] if isinstance(part, str)) + "'"


def _type_hint(kind: str, path: KeyPath, value: object) -> str | None:
    if value is None:
        return "leave the line out for the default"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotes"
    if kind == "bool_type" and isinstance(value, str):
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.lower())
        return f"did you mean {meant}?" if meant else None
    if kind == "tuple_type":
        return "begin each entry with '- '" if isinstance(value, dict) else "put it in brackets: [ ]"
    if kind == "int_type":
        return "e.g. 3"
    if kind in ("model_type", "model_attributes_type"):
        if value is False:
            return "null turns it off"
        model = _model_at(path)
        if model is GatewaySection and isinstance(value, str):
            return "write '- url: ...'"
        return f"keys: {', '.join(_keys(model))}" if model else None
    return None


def _unknown_key_hint(path: KeyPath) -> str:
    key = str(path[-1])
    here = _keys(_model_at(path[:-1]))
    word = key.strip().lower().replace("-", "_")
    elsewhere = {paths[-1]: paths for paths in _all_keys(Config, ())}
    synonym = _OTHER_NAMES.get(word)
    if word in here or synonym in here:
        return f"did you mean '{word if word in here else synonym}'?"
    if word in elsewhere:
        return f"it belongs {_section_of(elsewhere[word])}"
    if near := closest(key, here):
        return f"did you mean '{near}'?"
    if near := synonym if synonym in elsewhere else closest(key, list(elsewhere)):
        return f"did you mean '{near}' {_section_of(elsewhere[near])}?"
    return f"known here: {', '.join(here)}"


def _section_of(path: tuple[str, ...]) -> str:
    return f"under '{'.'.join(path[:-1])}'" if len(path) > 1 else "at the top of the file"


def _keys(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    """The section that stands at ``path``."""
    model: type[BaseModel] | None = Config
    for part in path:
        if isinstance(part, str):
            field = model.model_fields.get(part) if model else None
            model = section_of(field.annotation) if field else None
    return model


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section inside an annotation such as ``tuple[Gateway, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := section_of(inner))), None)


def _all_keys(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of every key, the outermost of a name last, so that it wins."""
    for name, field in reversed(model.model_fields.items()):
        inner = section_of(field.annotation)
        if inner is not None:
            yield from _all_keys(inner, (*path, name))
    for name in model.model_fields:
        yield (*path, name)
