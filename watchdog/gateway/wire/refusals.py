"""A gateway's refusals as typed errors, each with the way out. Codes measured on 2026.3.24 to 2026.9.6."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec

from watchdog.core.printable import shown_key
from watchdog.gateway.wire.timestamps import span_ms
from watchdog.service import errors
from watchdog.service.redaction import Secrets

FindCommand = Callable[[], str | None]
"""Finds the command that runs OpenClaw's CLI for a gateway on this machine; None: not known."""
_CLIP = 160
_REQUEST_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
"""What may stand in a command that a person is to type: no option, and nothing that a shell takes for its own."""


class WireError(msgspec.Struct, rename="camel", frozen=True):
    """The ``error`` of a failed response, as sent."""

    code: str = ""
    message: str = ""
    retryable: bool | None = None
    retry_after_ms: int | float | None = None
    details: Any = None

    def detail(self, name: str) -> str | None:
        """A string out of ``details``, or None."""
        value = self.details.get(name) if isinstance(self.details, dict) else None
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What may be repeated of an error. What it means is judged here by its own words, whatever our secrets are."""

    code: str
    said: str
    scope: str
    request_id: str
    reason: str


def _shown(error: WireError, secrets: Secrets) -> _Shown:
    details = (error.detail(name) or "" for name in ("missingScope", "requestId", "reason"))
    return _Shown(*(clip(text, secrets) for text in (error.code, error.message, *details)))


def refusal(
    name: str,
    method: str,
    error: WireError,
    *,
    scopes: str = "",
    openclaw: FindCommand = lambda: None,
    secrets: Secrets | None = None,
) -> errors.GatewayError:
    """The error for a refused ``method`` on the gateway called ``name``.

    ``openclaw`` is asked only where a person needs the command. ``secrets``: what is not repeated, though the gateway says
    it; None: what looks like one.
    """
    detail_code = error.detail("code") or ""
    said, shown = clip(error.message), _shown(error, secrets or Secrets())
    if method == "connect":
        return _sign_in(name, error, shown, detail_code, scopes, openclaw)
    if error.code == "UNAVAILABLE" and (away := _unavailable(name, error, shown)) is not None:
        return away
    if detail_code == "MISSING_SCOPE" or said.startswith("missing scope"):
        scope = shown.scope or shown.said.removeprefix("missing scope:").strip()
        return errors.ScopeRefused(
            f"{name}: {method} needs the scope {scope}, which this sign-in was not granted; "
            f"run `openclaw-watchdog doctor --gateway {shown_key(name)}` to see which step needs it and why.",
            scope,
        )
    if said.startswith("unknown method"):
        return errors.UnknownMethod(f"{name}: this gateway has no method {method}.")
    return errors.RequestRefused(
        f"{name}: {method} was refused: {shown.code}: {shown.said}",
        code=shown.code,
        detail=shown.said,
        # guard: refusal: what says that it does not pass is not tried again
        retryable=error.code == "UNAVAILABLE" and error.retryable is not False,
        says_retryable=bool(error.retryable) or error.retry_after_ms is not None or _says_it_passes(said),
    )


_PASSING = (
    "try again in a moment",
    "mutation in progress; try again",
    "changed before reset. retry",
    "is initializing",
)


def _says_it_passes(said: str) -> bool:
    """A few refusals that pass lack the flag (source of 2026.9.6)."""
    return any(words in said.lower() for words in _PASSING)


def _sign_in(
    name: str, error: WireError, shown: _Shown, detail_code: str, scopes: str, openclaw: FindCommand
) -> errors.GatewayError:
    said = error.message.lower()
    if error.code == "UNAVAILABLE" and (away := _unavailable(name, error, shown)) is not None:
        return away
    if detail_code == "PROTOCOL_MISMATCH" or "protocol mismatch" in said:
        return errors.ProtocolMismatch(
            f"{name}: the gateway speaks none of our protocol versions (3 and 4); update openclaw-watchdog."
        )
    if detail_code in ("RATE_LIMITED", "AUTH_RATE_LIMITED") or "rate limit" in said or "too many" in said:
        wait_ms = span_ms(error.retry_after_ms)
        after = wait_ms / 1000 if wait_ms else None
        wait = f"; it wants {after:.0f} s of quiet" if after else ""
        return errors.RateLimited(
            f"{name}: too many failed sign-ins from this machine{wait}; correct the token, then wait.", after
        )
    if detail_code == "AUTH_SCOPE_MISMATCH" or "scope mismatch" in said:
        return errors.ScopeRefused(
            f"{name}: this device's token does not cover the scopes {scopes}; approve them with "
            "`openclaw devices approve`, or set gateways[].token to the gateway's shared token."
        )
    if detail_code in ("PAIRING_REQUIRED", "DEVICE_NOT_APPROVED") or "pairing required" in said:
        return _approval_wanted(name, error, shown, openclaw)
    if error.code == "NOT_PAIRED" and detail_code != "DEVICE_IDENTITY_REQUIRED":
        return errors.PairingRequired(
            f"{name}: this device is not paired with the gateway: run `openclaw devices approve` on the gateway's "
            "machine, or set gateways[].token to its shared token."
        )
    if "AUTH" in detail_code or "unauthorized" in said or error.code in ("UNAUTHORIZED", "NOT_PAIRED"):
        missing = detail_code in ("AUTH_TOKEN_MISSING", "AUTH_PASSWORD_MISSING", "DEVICE_IDENTITY_REQUIRED")
        what = "a token is missing" if missing else "the token or password is wrong"
        return errors.AuthenticationRefused(
            f"{name}: sign-in refused, {what}: set gateways[].token (or token_file, password) to the gateway's "
            "own gateway.auth value."
        )
    return errors.RequestRefused(
        f"{name}: sign-in refused: {shown.code}: {shown.said}",
        code=shown.code,
        detail=shown.said,
    )


def _approval_wanted(name: str, error: WireError, shown: _Shown, find_openclaw: FindCommand) -> errors.PairingRequired:
    """Measured on all four versions: ``details`` names the request that waits, and why (``not-paired``,
    ``scope-upgrade``); from 2026.5.18 on also ``approvedScopes``."""
    request_id, openclaw = shown.request_id, find_openclaw()
    command = f"{openclaw or 'openclaw'} devices"
    where = " on the gateway's machine" if openclaw is None else ""
    is_named = _REQUEST_ID.fullmatch(request_id) is not None
    way_out = (
        f"run `{command} approve {request_id}`{where} (or the newer id that `{command} list` shows)"
        if is_named
        else f"run `{command} list` and `{command} approve`{where}"
    )
    reason = error.detail("reason")
    what = "the gateway wants this device approved first"
    if reason == "scope-upgrade":
        what = "the gateway wants more scopes approved for this device first"
    approved = error.details.get("approvedScopes") if isinstance(error.details, dict) else None
    return errors.PairingRequired(
        f"{name}: {what}: {way_out}.",
        reason=shown.reason or None,
        approved=frozenset(filter(_is_text, approved)) if isinstance(approved, list) else None,
        request=request_id if is_named else None,
    )


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _unavailable(name: str, error: WireError, shown: _Shown) -> errors.GatewayError | None:
    """The gateway itself is away; None when only a part of it is (a chat app that cannot be reached says the same)."""
    reason, said = error.detail("reason") or "", f"{shown.code}: {shown.said}"
    if reason == "gateway-suspending" or "during gateway suspension" in error.message:
        return errors.GatewaySuspended(f"{name}: the gateway is suspended; it takes nothing until it is resumed.", said)
    if reason in ("gateway-restarting", "gateway-draining") or "unavailable during gateway" in error.message:
        return errors.GatewayDraining(f"{name}: the gateway is draining or restarting; waiting for it.", said)
    # guard: refusal: what is starting is the gateway
    if reason.startswith("startup") or "gateway starting" in error.message:
        return errors.GatewayStarting(f"{name}: the gateway is still starting; waiting for it.", said)
    return None


def clip(text: str, secrets: Secrets | None = None) -> str:
    """A gateway's words, short enough for a log line and on one line; without ``secrets``, of which no net further on would
    know the half that a cut leaves."""
    # guard: secret: what a gateway says is masked before it is cut
    text = secrets.scrub(text, 10 * _CLIP) if secrets is not None else text[: 10 * _CLIP]
    flat = " ".join(text.split())
    return flat if len(flat) <= _CLIP else flat[: _CLIP - 1] + "…"
