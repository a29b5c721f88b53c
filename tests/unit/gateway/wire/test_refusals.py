"""Every documented refusal as a typed error that names the way out and carries no secret."""

from __future__ import annotations

from typing import Any

import pytest

from watchdog.gateway.wire.refusals import WireError, clip, refusal
from watchdog.service import errors
from watchdog.service.redaction import Secrets
from watchdog.service.secret import MASK

TOKEN = "tok-test-0123456789abcdef"


def _error(code: str, message: str, details: Any = None, **rest: Any) -> WireError:
    return WireError(code=code, message=message, details=details, **rest)


Expected = tuple[type[errors.GatewayError], str]

SIGN_IN: dict[str, tuple[WireError, Expected]] = {
    "wrong token": (
        _error(
            "INVALID_REQUEST",
            "unauthorized: gateway token mismatch (provide gateway auth token)",
            {
                "code": "AUTH_TOKEN_MISMATCH",
                "authReason": "token_mismatch",
                "canRetryWithDeviceToken": False,
                "recommendedNextStep": "update_auth_credentials",
            },
        ),
        (errors.AuthenticationRefused, "gateways[].token"),
    ),
    "no token, no device": (
        _error("NOT_PAIRED", "device identity required", {"code": "DEVICE_IDENTITY_REQUIRED"}),
        (errors.AuthenticationRefused, "a token is missing"),
    ),
    "device but no token": (
        _error("INVALID_REQUEST", "unauthorized: gateway token missing", {"code": "AUTH_TOKEN_MISSING"}),
        (errors.AuthenticationRefused, "a token is missing"),
    ),
    "scope mismatch": (
        _error(
            "INVALID_REQUEST",
            "unauthorized: device token scope mismatch (approve the wider scopes first)",
            {"code": "AUTH_SCOPE_MISMATCH", "recommendedNextStep": "review_auth_configuration"},
        ),
        (errors.ScopeRefused, "openclaw devices approve"),
    ),
    "device token without its device": (
        _error("NOT_PAIRED", "device not paired"),
        (errors.PairingRequired, "openclaw devices approve"),
    ),
    "pairing required": (
        _error("NOT_PAIRED", "pairing required", {"code": "PAIRING_REQUIRED"}),
        (errors.PairingRequired, "openclaw devices approve"),
    ),
    "protocol": (
        _error(
            "INVALID_REQUEST",
            "protocol mismatch",
            {"code": "PROTOCOL_MISMATCH", "clientMinProtocol": 5, "clientMaxProtocol": 9, "expectedProtocol": 4},
        ),
        (errors.ProtocolMismatch, "update openclaw-watchdog"),
    ),
    "rate limited": (
        _error("UNAUTHORIZED", "unauthorized: rate limited", {"code": "RATE_LIMITED"}, retry_after_ms=300_000),
        (errors.RateLimited, "300 s"),
    ),
    "too many": (
        _error("INVALID_REQUEST", "Too many failed attempts"),
        (errors.RateLimited, "correct the token"),
    ),
    "starting": (
        _error(
            "UNAVAILABLE",
            "gateway starting; retry shortly",
            {"reason": "startup-sidecars"},
            retryable=True,
            retry_after_ms=500,
        ),
        (errors.GatewayStarting, "waiting"),
    ),
    "draining": (
        _error("UNAVAILABLE", "connect unavailable during gateway restart", {"reason": "gateway-restarting"}),
        (errors.GatewayDraining, "waiting"),
    ),
    "client id": (
        _error("INVALID_REQUEST", "invalid connect params: at /client/id: must be equal to one of the allowed values"),
        (errors.RequestRefused, "sign-in refused"),
    ),
}

REQUESTS: dict[str, tuple[str, WireError, Expected]] = {
    "draining": (
        "sessions.list",
        _error(
            "UNAVAILABLE",
            "sessions.list unavailable during gateway restart",
            {"method": "sessions.list", "reason": "gateway-restarting", "phase": "accepting"},
            retryable=True,
            retry_after_ms=1000,
        ),
        (errors.GatewayDraining, "waiting"),
    ),
    "suspending": (
        "sessions.list",
        _error(
            "UNAVAILABLE",
            "not now",
            {"method": "sessions.list", "reason": "gateway-suspending", "phase": "prepared"},
            retryable=True,
            retry_after_ms=1000,
        ),
        (errors.GatewaySuspended, "until it is resumed"),
    ),
    "suspending, by its words": (
        "sessions.list",
        _error("UNAVAILABLE", "sessions.list unavailable during gateway suspension"),
        (errors.GatewaySuspended, "until it is resumed"),
    ),
    "scope, 9.6": (
        "chat.send",
        _error(
            "FORBIDDEN",
            "missing scope: operator.write",
            {"code": "MISSING_SCOPE", "missingScope": "operator.write", "requiredScopes": ["operator.write"]},
        ),
        (errors.ScopeRefused, "openclaw-watchdog doctor --gateway home`"),
    ),
    "scope, 3.24": (
        "sessions.reset",
        _error("INVALID_REQUEST", "missing scope: operator.admin"),
        (errors.ScopeRefused, "operator.admin"),
    ),
    "unknown method": (
        "gateway.restart.preflight",
        _error("INVALID_REQUEST", "unknown method: gateway.restart.preflight"),
        (errors.UnknownMethod, "no method gateway.restart.preflight"),
    ),
    "bad parameters": (
        "sessions.list",
        _error("INVALID_REQUEST", "invalid sessions.list params: at root: unexpected property 'bogus'"),
        (errors.RequestRefused, "unexpected property"),
    ),
    "a live run refuses a stranger": (
        "sessions.abort",
        _error("INVALID_REQUEST", "unauthorized"),
        (errors.RequestRefused, "unauthorized"),
    ),
    "session gone": (
        "sessions.send",
        _error("INVALID_REQUEST", "session not found: agent:main:x"),
        (errors.RequestRefused, "session not found"),
    ),
    "changed while starting": (
        "chat.send",
        _error("INVALID_REQUEST", 'Session "agent:main:x" changed while starting work. Retry.', retryable=True),
        (errors.RequestRefused, "changed while starting work"),
    ),
    "recover without a tombstone": (
        "sessions.recover",
        _error("INVALID_REQUEST", "Session recovery requires a restart-tombstoned session."),
        (errors.RequestRefused, "restart-tombstoned"),
    ),
    "a chat app that cannot be reached": (
        "send",
        _error("UNAVAILABLE", "Error: IRC login failed (433): Nickname already in use"),
        (errors.RequestRefused, "Nickname already in use"),
    ),
}


def _check(error: errors.GatewayError, expected: Expected) -> None:
    kind, words = expected
    assert type(error) is kind
    assert words in str(error)
    assert str(error).startswith("home: ")
    assert "\n" not in str(error)
    assert TOKEN not in str(error)


@pytest.mark.parametrize(("wire", "expected"), SIGN_IN.values(), ids=SIGN_IN)
def test_refused_sign_ins(wire: WireError, expected: Expected) -> None:
    _check(refusal("home", "connect", wire, scopes="operator.read"), expected)


@pytest.mark.parametrize(("method", "wire", "expected"), REQUESTS.values(), ids=REQUESTS)
def test_refused_requests(method: str, wire: WireError, expected: Expected) -> None:
    _check(refusal("home", method, wire), expected)


def test_facts_travel_with_the_error() -> None:
    limited = refusal("home", "connect", SIGN_IN["rate limited"][0])
    assert isinstance(limited, errors.RateLimited)
    assert limited.retry_after == 300
    scoped = refusal("home", "chat.send", REQUESTS["scope, 9.6"][1])
    assert isinstance(scoped, errors.ScopeRefused)
    assert scoped.scope == "operator.write"
    old = refusal("home", "sessions.reset", REQUESTS["scope, 3.24"][1])
    assert isinstance(old, errors.ScopeRefused)
    assert old.scope == "operator.admin"


@pytest.mark.parametrize(
    ("wire", "retryable", "says_so"),
    [
        (_error("UNAVAILABLE", "Error: IRC login failed"), True, False),
        (_error("UNAVAILABLE", "x", retryable=True), True, True),
        (_error("UNAVAILABLE", "x", retryable=False), False, False),
        (_error("UNAVAILABLE", "Error: the channel is starting a new login"), True, False),
        (_error("UNAVAILABLE", "Error: the provider went away during gateway calls"), True, False),
        (_error("INTERNAL", "x", retryable=True), True, True),
        (_error("INTERNAL", "x", retryable=False), False, False),
        (_error("INTERNAL", "x"), False, False),
        (_error("INTERNAL", "x", retry_after_ms=1000), True, True),
        (_error("INVALID_REQUEST", "Session s is still active; try again in a moment."), True, True),
        (_error("INVALID_REQUEST", "Session s has another lifecycle mutation in progress; try again."), True, True),
        (_error("INVALID_REQUEST", "Session s changed before reset. Retry."), True, True),
        (_error("INVALID_REQUEST", "Session s is initializing; retry it later."), True, True),
    ],
)
def test_the_gateways_opinion_on_trying_again(wire: WireError, retryable: bool, says_so: bool) -> None:
    refused = refusal("home", "send", wire)
    assert isinstance(refused, errors.RequestRefused)
    assert (refused.retryable, refused.says_retryable) == (retryable, says_so)
    assert (refused.code, refused.detail) == (wire.code, wire.message)


def test_scopes_that_were_asked_for_are_named() -> None:
    error = refusal("home", "connect", SIGN_IN["scope mismatch"][0], scopes="operator.read, operator.write")
    assert "operator.read, operator.write" in str(error)


@pytest.mark.parametrize("before", [0, 130, 150, 155, 159, 1590])
def test_a_token_that_is_echoed_leaves_no_part_of_itself(before: int) -> None:
    secrets, words = Secrets([TOKEN]), f"{'x' * before} {TOKEN} at /auth/token"
    details = {"reason": TOKEN, "missingScope": words, "requestId": TOKEN}
    for wire in (
        _error("INVALID_REQUEST", words, details),
        _error("UNAVAILABLE", words, {**details, "reason": "gateway-suspending"}),
        _error("INVALID_REQUEST", words, {**details, "code": "MISSING_SCOPE"}),
        _error("INVALID_REQUEST", f"missing scope: {words}"),
        _error("NOT_PAIRED", words, {**details, "code": "PAIRING_REQUIRED"}),
        _error(words, "no"),
    ):
        for method in ("connect", "send"):
            error = refusal("home", method, wire, secrets=secrets)
            assert TOKEN[:5] not in f"{error} {error!r} {error.__dict__}"


def test_a_token_that_is_an_ordinary_word_does_not_change_what_a_refusal_means() -> None:
    wire = _error("UNAVAILABLE", "chat.send unavailable during gateway suspension")
    refused = refusal("home", "chat.send", wire, secrets=Secrets(["gateway"]))
    assert isinstance(refused, errors.GatewaySuspended)
    passing = refusal("home", "send", _error("X", "session s is initializing"), secrets=Secrets(["initializing"]))
    assert isinstance(passing, errors.RequestRefused)
    assert passing.says_retryable
    assert passing.detail == f"session s is {MASK}"


def test_long_words_are_cut_and_stay_on_one_line() -> None:
    assert clip("a\n  b\tc") == "a b c"
    assert len(clip("x" * 5000)) == 160
    error = refusal("home", "x", _error("INTERNAL", "y\n" * 5000))
    assert len(str(error)) < 250


@pytest.mark.parametrize("after", [10**400, -(10**400), 1e300, -5, 10**17])
def test_a_wait_that_nobody_can_reckon_with_is_none(after: float) -> None:
    limited = refusal("home", "connect", WireError("X", "rate limit", retry_after_ms=after))
    assert isinstance(limited, errors.RateLimited)
    assert limited.retry_after is None
    assert "quiet" not in str(limited)


@pytest.mark.parametrize(
    ("said", "reason", "kind"),
    [
        ("gateway starting; retry shortly", None, errors.GatewayStarting),
        ("not now", "startup-sidecars", errors.GatewayStarting),
        ("send unavailable during gateway restart", None, errors.GatewayDraining),
        ("not now", "gateway-suspending", errors.GatewaySuspended),
    ],
)
def test_who_says_that_it_is_away_keeps_its_words(
    said: str, reason: str | None, kind: type[errors.GatewayAway]
) -> None:
    away = refusal("home", "send", _error("UNAVAILABLE", said, {"reason": reason}))
    assert type(away) is kind
    assert away.said == f"UNAVAILABLE: {said}"
