"""Secrets at the moment of use: from the setting itself, the environment, or a file.

Nothing is kept: a rotated token file or a new environment counts at the next connection. Errors name the setting, the
variable or the file, never what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from watchdog.config.loader import LoadedConfig
from watchdog.config.models import Config, GatewaySection, NotifyTarget
from watchdog.config.problems import KeyPath, Problem, SecretError
from watchdog.config.references import MissingVariableError, absolute, expand

_LARGEST = 64 * 1024


def resolve_secret(owner: GatewaySection | NotifyTarget | Config, name: str, env: Mapping[str, str]) -> str | None:
    """The secret ``name`` of a section, in the clear: do not log it.

    ``token`` or ``password`` of a gateway (also from ``token_file`` and ``password_file``), ``url`` of a notify target,
    ``heartbeat_url`` or ``ledger`` of the whole; without white space around it. ``None``: the configuration has none. Raises ``SecretError`` when a variable is not
    set or a file is missing, unreadable, empty or holds more than one line.
    """
    secret = getattr(owner, name)
    label = f"gateways[{owner.name}].{name}" if isinstance(owner, GatewaySection) else name
    if isinstance(secret, SecretStr):
        return _expanded(secret.get_secret_value(), env, label)
    if isinstance(owner, GatewaySection) and (file := getattr(owner, f"{name}_file")) is not None:
        label += "_file"
        try:
            path = absolute(_expanded(file, env, label), env, Path("/"))
        except RuntimeError:
            raise SecretError(label, "'~' has no meaning here: no home folder is known", None) from None
        return _content(path, label)
    return None


def missing_secrets(loaded: LoadedConfig, env: Mapping[str, str]) -> tuple[Problem, ...]:
    """Every secret, and every certificate to check by, that cannot be had right now, with its place in the file."""
    return tuple(
        loaded.problem_at(path, error.problems[0].message, error.problems[0].hint)
        for path, error in _failures(loaded.config, env)
    )


def _failures(config: Config, env: Mapping[str, str]) -> Iterator[tuple[KeyPath, SecretError]]:
    owners: list[tuple[GatewaySection | NotifyTarget | Config, str, KeyPath]] = [
        *((gateway, name, ("gateways", i)) for i, gateway in enumerate(config.gateways) for name in _OF_GATEWAY),
        *((target, "url", ("notify", i)) for i, target in enumerate(config.notify)),
        (config, "heartbeat_url", ()),
        (config, "ledger", ()),
    ]
    for owner, name, at in owners:
        try:
            resolve_secret(owner, name, env)
        except SecretError as error:
            yield (*at, f"{name}_file" if error.key_path.endswith("_file") else name), error
    for i, gateway in enumerate(config.gateways):
        file = gateway.tls.ca_file if gateway.tls is not None else None
        if file is not None and not (os.path.isfile(file) and os.access(file, os.R_OK)):  # noqa: PTH113 - never raises
            label = f"gateways[{gateway.name}].tls.ca_file"
            message = f"{file} cannot be read" if os.path.lexists(file) else f"there is no file {file}"
            yield ("gateways", i, "tls", "ca_file"), SecretError(label, message, "it holds a certificate in PEM")


_OF_GATEWAY = ("token", "password")


def _expanded(text: str, env: Mapping[str, str], label: str) -> str:
    try:
        secret = expand(text, env).strip()
    except MissingVariableError as missing:
        hint = f"set {missing.name} where the watchdog runs; a service does not see your shell's variables"
        raise SecretError(label, str(missing), hint) from None
    if not secret:
        raise SecretError(label, "there is nothing but white space in it", None)
    if not secret.isascii() and secret != secret.encode("utf-8", "replace").decode():
        raise SecretError(label, "its bytes are no UTF-8 text", None)
    return secret


def _content(path: Path, label: str) -> str:
    try:
        if path.is_fifo() and not path.is_relative_to(
            "/dev/fd"
        ):  # nobody may ever write to it: that would stop everything
            raise SecretError(label, f"{path} is a pipe", "name a regular file")
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        text = content.decode("utf-8-sig").strip()
    except FileNotFoundError:
        raise SecretError(label, f"there is no file {path}", "it holds the secret and nothing else") from None
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise SecretError(label, f"{path} cannot be read: {reason}", None) from None
    except UnicodeDecodeError:
        raise SecretError(label, f"{path} is not text", "it holds the secret and nothing else") from None
    if not text:
        raise SecretError(label, f"{path} is empty", "it holds the secret and nothing else")
    if "\n" in text or len(content) > _LARGEST:
        raise SecretError(label, f"{path} holds more than one line", "it holds the secret and nothing else")
    return text
