"""A gateway's shared token and password, in every form OpenClaw lets people write them.

Plain text, ``${NAME}`` templates, ``$NAME``, and SecretRef objects of the sources ``env`` and ``file`` are resolved;
``exec`` and ``store`` are not (they run a program of the user's, or open the gateway's database) and say what to do
instead. Resolution happens when the credential is asked for, each time: a rotated file is seen at the next sign-in.

Precedence is the gateway's own: its configuration, then OPENCLAW_GATEWAY_TOKEN / OPENCLAW_GATEWAY_PASSWORD (source of
2026.3.24, 4.14, 5.18 and 9.6: "config-first"). A SecretRef that cannot be resolved is an error and never falls back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.discovery.openclaw_config import DiscoveryError, expand, open_text, section
from watchdog.service.ownership import NotTrusted, Owner
from watchdog.service.secret import Secret

_ENV_REFERENCE = re.compile(
    r"\$\{([A-Z_][A-Z0-9_]*)\}|\$([A-Z][A-Z0-9_]{0,127})|(?:secretref-env:|__env__:)([A-Z][A-Z0-9_]*)"
)
_TEMPLATE = re.compile(r"\$?\$\{([A-Z_][A-Z0-9_]*)\}")
_REDACTED = "__OPENCLAW_REDACTED__"
_WAY_OUT = "put it there, or set token: (or password:) of this gateway in watchdog.yaml"


class CredentialUnavailable(DiscoveryError):
    """The gateway's token or password is configured in a way that cannot be resolved here and now."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret comes from, and how to get it: call it. Shows its origin, never the secret."""

    origin: str
    _get: Callable[[], Secret] = field(repr=False, compare=False)

    def __call__(self) -> Secret:
        """The secret as it is now. Raises ``CredentialUnavailable`` and nothing else."""
        return self._get()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What this gateway accepts. Both are None with ``auth.mode: none``, or when nothing is configured anywhere."""

    mode: str | None
    token: SecretSource | None
    password: SecretSource | None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a SecretRef may be resolved with."""

    config: Mapping[str, object]
    config_path: Path
    env: Mapping[str, str] = field(repr=False)
    home: Path
    owner: Owner | None


def gateway_credentials(
    config: Mapping[str, object],
    config_path: Path,
    env: Mapping[str, str],
    home: Path,
    *,
    is_remote: bool = False,
    owner: Owner | None = None,
) -> Credentials:
    """The credentials of the gateway that ``config`` describes; ``is_remote``: of the one at ``gateway.remote``.

    ``owner``: whose configuration it is; a file that this account may not read itself is not read for it.
    """
    reading = _Reading(config, config_path, env, home, owner)
    auth = section(config, "gateway", "remote" if is_remote else "auth")
    setting = "gateway.remote" if is_remote else "gateway.auth"
    mode = None if is_remote else auth.get("mode")
    mode = mode if isinstance(mode, str) else None
    token = password = None
    if mode not in ("none", "password", "trusted-proxy"):
        token = _source(reading, auth.get("token"), f"{setting}.token", "OPENCLAW_GATEWAY_TOKEN")
    if mode not in ("none", "token"):  # with trusted-proxy the password still lets local callers in (9.6 docs)
        password = _source(reading, auth.get("password"), f"{setting}.password", "OPENCLAW_GATEWAY_PASSWORD")
    return Credentials(mode, token, password)


def _source(reading: _Reading, value: object, setting: str, fallback: str) -> SecretSource | None:
    if value is not None and value != "":
        origin = f"{setting} in {reading.config_path}"
        return SecretSource(origin, lambda: _resolve(reading, value, origin))
    secret = Secret.of(reading.env.get(fallback))
    return None if secret is None else SecretSource(f"environment variable {fallback}", lambda: secret)


def _resolve(reading: _Reading, value: object, origin: str) -> Secret:
    if isinstance(value, str):
        text = value.strip()
        if text == _REDACTED:
            raise CredentialUnavailable(origin, "it holds OpenClaw's placeholder instead of a secret", _WAY_OUT)
        if match := _ENV_REFERENCE.fullmatch(text):
            return _from_env(reading, next(name for name in match.groups() if name), origin)
        text = _TEMPLATE.sub(lambda match: _substitute(reading, match, origin), text)
        return _present(text, origin, "it is empty")
    if not isinstance(value, Mapping):
        raise CredentialUnavailable(origin, "it is neither text nor a SecretRef", "run openclaw config validate")
    return _from_ref(reading, value, origin)


def _substitute(reading: _Reading, match: re.Match[str], origin: str) -> str:
    if match[0].startswith("$$"):
        return match[0][1:]  # "$${NAME}" means the text "${NAME}"
    return _from_env(reading, match[1], origin).reveal()


def _from_env(reading: _Reading, name: str, origin: str) -> Secret:
    problem = f"it refers to the environment variable {name}, which is not set here"
    way_out = f"add {name} to the watchdog's environment or to the .env file in OpenClaw's state folder, or set token:"
    return _present(
        reading.env.get(name), origin, problem, f"{way_out} (or password:) of this gateway in watchdog.yaml"
    )


def _from_ref(reading: _Reading, ref: Mapping[object, object], origin: str) -> Secret:
    source, name = ref.get("source"), ref.get("id")
    if not isinstance(source, str) or not isinstance(name, str) or not name:
        raise CredentialUnavailable(origin, "its SecretRef has no source or no id", "run openclaw config validate")
    defaults = section(reading.config, "secrets", "defaults")
    alias = ref.get("provider") or defaults.get(source) or "default"
    provider = section(reading.config, "secrets", "providers", str(alias))
    if source == "env":
        allowed = provider.get("allowlist") if provider.get("source") == "env" else None
        if isinstance(allowed, list) and name not in allowed:
            raise CredentialUnavailable(
                origin,
                f"{name} is not in secrets.providers.{alias}.allowlist",
                "add it there or set token: in watchdog.yaml",
            )
        return _from_env(reading, name, origin)
    if source == "file":
        return _from_file(reading, provider, str(alias), name, origin)
    raise CredentialUnavailable(
        origin,
        f"its SecretRef of source {source!r} cannot be resolved outside the gateway",
        "set token: or token_file: (or the same for password) of this gateway in watchdog.yaml",
    )


def _from_file(reading: _Reading, provider: Mapping[str, object], alias: str, pointer: str, origin: str) -> Secret:
    where = provider.get("path")
    if provider.get("source") != "file" or not isinstance(where, str) or not where:
        raise CredentialUnavailable(
            origin, f"secrets.providers.{alias} is no file provider", "run openclaw config validate"
        )
    path = expand(where, reading.home)
    try:
        text, info = open_text(path)
        if reading.owner is not None:
            reading.owner.judge_readable(path, info)
    except NotTrusted as reason:
        raise CredentialUnavailable(origin, f"{reason.problem} (it names {path})", reason.way_out) from None
    except FileNotFoundError as error:
        raise CredentialUnavailable(origin, f"the file {path} does not exist", _WAY_OUT) from error
    except DiscoveryError as error:
        raise CredentialUnavailable(origin, f"the file {path} {error.problem}", error.way_out) from error
    if provider.get("mode") == "singleValue":
        return _present(text.removesuffix("\n").removesuffix("\r"), origin, f"the file {path} is empty")
    try:
        found: object = json.loads(text)
    except ValueError:
        found = _BROKEN
    if found is _BROKEN:  # raised out here: the decoder's error carries the whole file
        raise CredentialUnavailable(origin, f"the file {path} is not valid JSON", _WAY_OUT)
    if not pointer.startswith("/"):
        raise CredentialUnavailable(origin, f"the id {pointer!r} is no JSON pointer", "run openclaw config validate")
    for part in pointer[1:].split("/"):
        found = _step(found, part.replace("~1", "/").replace("~0", "~"))
    return _present(found if isinstance(found, str) else None, origin, f"the file {path} has no text at {pointer}")


_BROKEN = object()


def _step(value: object, part: str) -> object:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return None


def _present(text: str | None, origin: str, problem: str, way_out: str = _WAY_OUT) -> Secret:
    secret = Secret.of(text)
    if secret is None:
        raise CredentialUnavailable(origin, problem, way_out)
    return secret
