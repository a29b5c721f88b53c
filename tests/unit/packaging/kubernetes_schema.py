"""Whether a manifest is one: Kubernetes' own schema, of ``kubernetes-1.37.json`` beside this file, without a network or a cluster.

Of JSON Schema it knows the words that the file has, and fails at any other. A cluster refuses more than this does: values that
contradict each other, names that are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("kubernetes-1.37.json")
KINDS = {
    ("v1", "ConfigMap"): "io.k8s.api.core.v1.ConfigMap",
    ("apps/v1", "StatefulSet"): "io.k8s.api.apps.v1.StatefulSet",
}
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def misfits(document: Mapping[str, Any]) -> list[str]:
    """What Kubernetes would refuse in it, with the place. Raises ``KeyError`` for a kind that is not in the file."""
    definitions = json.loads(FILE.read_text("utf-8"))["$defs"]
    kind = KINDS[document["apiVersion"], document["kind"]]
    return list(_misfits(document, definitions[kind], "", definitions))


def _misfits(value: Any, schema: Any, at: str, definitions: Mapping[str, Any]) -> Iterator[str]:
    for word, said in schema.items():
        match word:
            case "$ref":
                yield from _misfits(value, definitions[said.rpartition("/")[2]], at, definitions)
            case "type":
                if not any(_is_a(value, name) for name in ([said] if isinstance(said, str) else said)):
                    yield f"{at or '.'}: {value!r} is no {said}"
            case "enum":
                if value not in said:
                    yield f"{at}: {value!r} is none of {said}"
            case "oneOf":
                if all(any(_misfits(value, one, at, definitions)) for one in said):
                    yield f"{at}: {value!r} is nothing that may stand there"
            case "required":
                yield from (f"{at}.{name} is missing" for name in said if name not in (value or {}))
            case "properties" if isinstance(value, dict):
                for name in value.keys() & said.keys():
                    yield from _misfits(value[name], said[name], f"{at}.{name}", definitions)
            case "additionalProperties" if isinstance(value, dict):
                for name in value.keys() - schema.get("properties", {}).keys():
                    if said is False:
                        yield f"{at}.{name}: there is no such field"
                    else:
                        yield from _misfits(value[name], said, f"{at}.{name}", definitions)
            case "items" if isinstance(value, list):
                for number, one in enumerate(value):
                    yield from _misfits(one, said, f"{at}[{number}]", definitions)
            case "properties" | "additionalProperties" | "items" | "format":
                pass  # nothing to look into; a format narrows what the manifests have none of
            case _:
                raise NotImplementedError(word)


def _is_a(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
