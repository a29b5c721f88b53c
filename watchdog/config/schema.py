"""The JSON Schema of the file, from the models: completion and underlining in editors, ``config schema``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from watchdog.config.durations import spell
from watchdog.config.models import Config

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Plain(GenerateJsonSchema):
    """Without made-up titles, and with defaults as the file would say them."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic names it
        return False

    def encode_default(self, dft: Any) -> Any:
        match dft:
            case timedelta():
                return spell(dft)
            case tuple():
                return [self.encode_default(item) for item in dft]
            case BaseModel():
                return dft.model_dump(mode="json", exclude_unset=True)
        return super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The schema of ``watchdog.yaml``. It says what each value may be; what values must agree on, only ``load`` says."""
    schema = Config.model_json_schema(schema_generator=_Plain)
    for section in (schema, *schema["$defs"].values()):
        if text := section.get("description"):
            section["description"] = plain(text)
        for field in section.get("properties", {}).values():
            if text := field.get("description"):
                field["description"] = plain(text)
            _allow_empty(field)
    return {"$schema": DIALECT, **schema}


def plain(text: str) -> str:
    """A docstring as running text; only its list entries (``- ...``) and what follows them keep their own lines."""
    lines: list[str] = []
    is_list = False
    for line in text.replace("``", "").split("\n"):
        words = " ".join(line.split())
        is_entry = words.startswith("- ")
        if not lines or is_entry or is_list:
            lines.append(words)
        else:
            lines[-1] += f" {words}"
        is_list = is_list or is_entry
    return "\n".join(lines)


def _allow_empty(field: dict[str, Any]) -> None:
    """A section or list whose lines are all commented out is read as null, and allowed."""
    if "$ref" in field:
        field["anyOf"] = [{"$ref": field.pop("$ref")}, {"type": "null"}]
    elif field.get("type") == "array" and "$ref" in str(field.get("items")):
        field["type"] = ["array", "null"]
