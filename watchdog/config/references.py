"""Text that refers to the environment: ``${NAME}`` in secrets, URLs and paths.

Places (a gateway's URL, a folder) are filled in when the file is read. Secrets keep their text and are filled in by
``watchdog.config.credentials`` at the moment of use, so that showing, comparing and checking a file needs none of them.
``Surroundings`` travels as pydantic's validation context.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr, Strict, ValidationInfo, WithJsonSchema

from watchdog.config.fields import describe, not_empty, refusal
from watchdog.service.secret import MASK

REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""``${NAME}``, or ``$${`` for a literal ``${``."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a file's values may refer to. ``folder`` is where its relative paths start."""

    env: Mapping[str, str]
    folder: Path


class MissingVariableError(LookupError):
    """An environment variable the text refers to is not set, or is empty."""

    def __init__(self, name: str, *, is_empty: bool) -> None:
        self.name = name
        super().__init__(f"the environment variable {name} is {'empty' if is_empty else 'not set'}")


def expand(text: str, env: Mapping[str, str]) -> str:
    """``text`` with every ``${NAME}`` filled in from ``env``. Raises ``MissingVariableError``."""

    def fill(reference: re.Match[str]) -> str:
        name = reference[1]
        if name is None:
            return "${"
        if not env.get(name):
            raise MissingVariableError(name, is_empty=name in env)
        return env[name]

    return REFERENCE.sub(fill, text)


def refers_only(text: str) -> bool:
    """The text is nothing but ``${NAME}`` references, so it is no secret itself."""
    return "${" in text and "$${" not in text and not REFERENCE.sub("", text).strip()


def absolute(text: str, env: Mapping[str, str], folder: Path) -> Path:
    """A path as the file means it: ``~`` is the user's home, relative paths start at ``folder``.

    Raises ``RuntimeError`` when no home folder is known.
    """
    if env.get("HOME") and (text == "~" or text.startswith("~/")):
        return Path(env["HOME"]) / text[2:]
    return Path(os.path.normpath(folder / Path(text).expanduser()))


def _well_formed(text: str) -> str:
    if "${" in REFERENCE.sub("", text):
        raise refusal("'${' does not begin a ${NAME} here", "NAME is letters, digits and '_'; write $${ for a plain ${")
    return text


def _filled(text: str, info: ValidationInfo) -> str:
    if not isinstance(info.context, Surroundings):
        return text
    try:
        return expand(text, info.context.env)
    except MissingVariableError as missing:
        raise refusal(str(missing), "set it where the watchdog runs") from None


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise refusal(f"expected a path, found {describe(value)}")
    text = _printable(_filled(_well_formed(not_empty(value)), info))
    if not isinstance(info.context, Surroundings):
        return Path(text)
    try:
        return absolute(text, info.context.env, info.context.folder)
    except RuntimeError:
        raise refusal("'~' has no meaning here: no home folder is known", "write the whole path") from None


def _path_or_none(value: object, info: ValidationInfo) -> Path | Literal["none"]:
    return "none" if value == "none" else _path(value, info)


PathText = Annotated[
    Path, BeforeValidator(_path), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
PathOrNone = Annotated[
    Path | Literal["none"],
    BeforeValidator(_path_or_none),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""A folder, or the word ``none``: do not look at files."""
PlaceText = Annotated[str, Strict(), AfterValidator(not_empty), AfterValidator(_well_formed), AfterValidator(_filled)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise refusal("a path has no line breaks or control characters")
    return text


def _anchored(text: str, info: ValidationInfo) -> str:
    """A relative path starts at the file's folder; references and ``~`` wait for the moment of use."""
    is_relative = not text.startswith(("/", "~", "${"))
    return str(info.context.folder / text) if is_relative and isinstance(info.context, Surroundings) else text


FileText = Annotated[
    str,
    Strict(),
    AfterValidator(not_empty),
    AfterValidator(_well_formed),
    AfterValidator(_printable),
    AfterValidator(_anchored),
]
"""The path of a file that is read at the moment of use; no secret itself."""


def mask(secret: SecretStr) -> str:
    """A secret as it may be shown: references as they are, of a URL its scheme, else nothing."""
    text = secret.get_secret_value()
    if refers_only(text):
        return text
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://", text)
    return f"{scheme[0]}{MASK}" if scheme else MASK


def _secret(secret: SecretStr) -> SecretStr:
    _well_formed(not_empty(secret.get_secret_value()))
    return secret


def _checked_by(check: Callable[[str], None]) -> AfterValidator:
    """Checks the shape of a secret URL, unless it begins with a reference."""

    def read(secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value().startswith("${"):
            check(secret.get_secret_value())
        return secret

    return AfterValidator(read)


def _service_url(text: str) -> None:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", text):
        raise refusal("this is not an apprise URL", "e.g. ntfy://ntfy.sh/my-topic; all services: appriseit.com")


def _ping_url(text: str) -> None:
    if not re.match(r"https?://[^/\s]", text):
        raise refusal("expected a URL that starts with https:// or http://")


def _database_url(text: str) -> None:
    if not re.match(r"postgres(ql)?://", text):
        raise refusal("expected a URL that starts with postgresql://", "null: SQLite in state_dir")


def passwords_in(url: str) -> tuple[str, ...]:
    """Every password in the URL of a database, as it is written there and as it is meant."""
    found = re.finditer(r"://[^/?@:]*:([^/?]*)@|[?&](?:ssl)?password=([^&]*)", url)
    written = [one[1] or one[2] for one in found if one[1] or one[2]]
    return tuple(dict.fromkeys([*written, *map(unquote, written)]))


Secret = Annotated[
    SecretStr,
    Strict(),
    AfterValidator(_secret),
    PlainSerializer(mask, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""Text that is never shown."""
ServiceUrl = Annotated[Secret, _checked_by(_service_url)]
PingUrl = Annotated[Secret, _checked_by(_ping_url)]
DatabaseUrl = Annotated[Secret, _checked_by(_database_url)]
