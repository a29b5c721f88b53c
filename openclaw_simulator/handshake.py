"""``connect``: who may come in, with which scopes, and what hello says (frames from the wire, 2026-11-20)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openclaw_simulator.methods import advertised
from openclaw_simulator.process import Phase
from openclaw_simulator.records import ClientInfo
from openclaw_simulator.world import World

Verify = Callable[[str, str, str], bool]
"""(public key base64url, signature base64url, signed text) -> is it genuine."""

CLIENT_IDS = ("gateway-client", "cli", "openclaw-control-ui", "webchat", "openclaw-probe", "node-host", "test")
EVENTS = (
    "connect.challenge",
    "agent",
    "chat",
    "session.message",
    "sessions.changed",
    "presence",
    "tick",
    "shutdown",
    "health",
    "heartbeat",
    "cron",
    "exec.approval.requested",
    "exec.approval.resolved",
)


@dataclass(slots=True)
class AccessRules:
    """How the gateway's door is set up."""

    token: str = "simulated-token"  # noqa: S105  (a loopback simulator)
    verify: Verify | None = None
    """None: signatures are believed. Give ``cryptography``'s check to have them verified."""
    pairs_devices: bool = True
    """False: an unknown device is told NOT_PAIRED (a gateway that is not on loopback)."""
    is_rate_limited: bool = False
    device_tokens: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    """Issued device tokens: token -> (device id, scopes)."""
    paired: dict[str, frozenset[str]] = field(default_factory=dict)
    """What each device is approved for, where backends are paired (``Profile.pairs_backends``)."""
    pending: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    """The request that waits for a person, by device: its id, and what it asks for."""
    stale_after_ms: int | None = 600_000
    """How old a device signature may be; None: the world's clock and the client's are not the same."""
    state_dir: str = "/simulated/.openclaw"

    def approve(self, device_id: str) -> None:
        """A person types the command for the request that waits."""
        _, scopes = self.pending.pop(device_id)
        self.paired[device_id] = self.paired.get(device_id, frozenset()) | scopes


class ConnectRefused(Exception):
    """The door stays shut: an error frame, then a close."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        close_code: int = 1008,
        details: dict[str, Any] | None = None,
        retry_ms: int = 0,
    ) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.error: dict[str, Any] = {"code": code, "message": message}
        if retry_ms:
            self.error |= {"retryable": True, "retryAfterMs": retry_ms}
        if details is not None:
            self.error["details"] = details


def challenge(world: World, nonce: str) -> dict[str, Any]:
    """The server's first frame."""
    payload: dict[str, Any] = {"nonce": nonce, "ts": world.wall_ms}
    if world.profile.has_boot_id:
        payload["capabilities"] = ["model-catalog-snapshot"]
    return {"type": "event", "event": "connect.challenge", "payload": payload}


def admit(
    world: World, access: AccessRules, nonce: str, params: Mapping[str, Any]
) -> tuple[ClientInfo, dict[str, Any]]:
    """Check a ``connect`` request. Returns who it is and the ``hello-ok`` payload, or raises :class:`ConnectRefused`."""
    _check_shape(params)
    if world.process.phase is Phase.REFUSING:
        raise ConnectRefused(
            "UNAVAILABLE",
            "gateway starting; retry shortly",
            close_code=1013,
            details={"reason": "startup-sidecars"},
            retry_ms=500,
        )
    _check_protocol(world, params)
    auth = params.get("auth") or {}
    token = auth.get("token") or auth.get("deviceToken")
    client = params["client"]
    device = params.get("device")
    wanted = frozenset(params.get("scopes") or ())
    if device is None and token is None and not auth.get("password"):
        raise ConnectRefused("NOT_PAIRED", "device identity required", details={"code": "DEVICE_IDENTITY_REQUIRED"})
    if device is not None:
        _check_device(world, access, nonce, params, token)
    kept, issued, method = _check_token(access, params, token, wanted)
    scopes = kept if device is not None else _without_device(world, client, kept)
    if device is not None and not access.pairs_devices and method == "token" and client["id"] != "gateway-client":
        raise ConnectRefused(
            "NOT_PAIRED",
            "pairing required: device is not approved yet",
            details={"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": world.new_id()},
        )
    if device is not None and world.profile.pairs_backends and client["id"] == "gateway-client":
        issued = _paired(world, access, device["id"], wanted, issued)
    who = ClientInfo(
        device_id=device["id"] if device is not None else None,
        client_id=client["id"],
        mode=client["mode"],
        scopes=scopes,
        display_name=client.get("displayName"),
    )
    if device is not None and client["id"] == "cli" and issued is None:
        issued = world.new_id().replace("-", "")
        access.device_tokens[issued] = (device["id"], scopes)
    return who, _hello(world, access, params, who, issued, method)


def _paired(world: World, access: AccessRules, device: str, wanted: frozenset[str], issued: str | None) -> str:
    """Its token. Its first sign-in is approved silently; a later one that asks for more leaves a request, which replaces the
    one that waited and keeps what that asked for."""
    if not wanted <= access.paired.setdefault(device, wanted):
        waiting = access.pending.get(device, ("", frozenset[str]()))
        if waiting[1] != wanted:
            waiting = access.pending[device] = (world.new_id(), waiting[1] | wanted)
        raise ConnectRefused(
            "NOT_PAIRED",
            "pairing required",
            details={"code": "PAIRING_REQUIRED", "requestId": waiting[0], "reason": "scope-upgrade"},
        )
    own = issued or next((token for token, (owner, _) in access.device_tokens.items() if owner == device), None)
    own = own or world.new_id().replace("-", "")
    access.device_tokens[own] = (device, access.paired[device])
    return own


def _check_shape(params: Mapping[str, Any]) -> None:
    missing = [
        f"must have required property '{n}'" for n in ("minProtocol", "maxProtocol", "client") if n not in params
    ]
    if missing:
        raise ConnectRefused("INVALID_REQUEST", "invalid connect params: " + "; ".join(missing))
    for name, kind, word in (
        ("minProtocol", int, "integer"),
        ("maxProtocol", int, "integer"),
        ("auth", Mapping, "object"),
        ("device", Mapping, "object"),
        ("scopes", list, "array"),
    ):
        if params.get(name) is not None and not isinstance(params[name], kind):
            raise ConnectRefused("INVALID_REQUEST", f"invalid connect params: at /{name}: must be {word}")
    client = params["client"]
    if not isinstance(client, Mapping) or client.get("id") not in CLIENT_IDS or not client.get("mode"):
        raise ConnectRefused(
            "INVALID_REQUEST", "invalid connect params: at /client/id: must be equal to one of the allowed values"
        )


def _check_protocol(world: World, params: Mapping[str, Any]) -> None:
    profile = world.profile
    low, high = params["minProtocol"], params["maxProtocol"]
    if low <= profile.protocol <= high:
        return
    details: dict[str, Any] = {"expectedProtocol": profile.protocol}
    if profile.least_probe_protocol is not None:
        details = {
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": low,
            "clientMaxProtocol": high,
            **details,
            "minimumProbeProtocol": profile.least_probe_protocol,
        }
    raise ConnectRefused("INVALID_REQUEST", "protocol mismatch", close_code=1002, details=details)


def _check_device(world: World, access: AccessRules, nonce: str, params: Mapping[str, Any], token: str | None) -> None:
    device, client = params["device"], params["client"]

    def refuse(message: str, code: str, reason: str) -> ConnectRefused:
        return ConnectRefused("INVALID_REQUEST", message, details={"code": code, "reason": reason})

    age = abs(world.wall_ms - int(device.get("signedAt", 0)))
    if access.stale_after_ms is not None and age > access.stale_after_ms:
        raise refuse("device signature expired", "DEVICE_AUTH_SIGNATURE_EXPIRED", "device-signature-stale")
    if device.get("nonce") != nonce:
        raise refuse("device nonce mismatch", "DEVICE_AUTH_NONCE_MISMATCH", "device-nonce-mismatch")
    if access.verify is None:
        return
    scopes = ",".join(params.get("scopes") or ())
    head = [device["id"], client["id"], client["mode"], params.get("role", "operator"), scopes]
    tail = [str(device["signedAt"]), token or "", nonce]
    extra = [str(client.get("platform", "")).lower(), str(client.get("deviceFamily", "")).lower()]
    texts = ("|".join(["v3", *head, *tail, *extra]), "|".join(["v2", *head, *tail]))
    if not any(access.verify(device["publicKey"], device["signature"], text) for text in texts):
        raise refuse("device signature invalid", "DEVICE_AUTH_SIGNATURE_INVALID", "device-signature")


def _unauthorized(what: str, code: str, reason: str, step: str) -> ConnectRefused:
    details = {"code": code, "authReason": reason, "canRetryWithDeviceToken": False, "recommendedNextStep": step}
    return ConnectRefused("INVALID_REQUEST", f"unauthorized: {what}", details=details)


def _check_token(
    access: AccessRules, params: Mapping[str, Any], token: str | None, wanted: frozenset[str]
) -> tuple[frozenset[str], str | None, str]:
    """(scopes granted, device token in use, auth method)."""
    if access.is_rate_limited:
        words = "too many failed authentication attempts (retry later)"
        raise _unauthorized(words, "AUTH_RATE_LIMITED", "rate_limited", "wait_then_retry")
    if token is None:
        words = "gateway token missing (provide gateway auth token)"
        raise _unauthorized(words, "AUTH_TOKEN_MISSING", "token_missing", "update_auth_configuration")
    if token == access.token:
        return wanted, None, "token"
    known = access.device_tokens.get(token)
    device = params.get("device")
    if known is None:
        words = "gateway token mismatch (provide gateway auth token)"
        raise _unauthorized(words, "AUTH_TOKEN_MISMATCH", "token_mismatch", "update_auth_credentials")
    owner, scopes = known
    if device is None or device["id"] != owner:
        raise ConnectRefused("NOT_PAIRED", "device identity required", details={"code": "DEVICE_IDENTITY_REQUIRED"})
    if not wanted <= scopes:
        words = "device token scope mismatch (approve the wider scopes first)"
        raise _unauthorized(words, "AUTH_SCOPE_MISMATCH", "scope_mismatch", "review_auth_configuration")
    return wanted, token, "device-token"


def _without_device(world: World, client: Mapping[str, Any], wanted: frozenset[str]) -> frozenset[str]:
    """Without a device most clients connect and can do nothing (older.md 1: every scope is cleared)."""
    return wanted if (client["id"], client["mode"]) in world.profile.scopeful_clients else frozenset()


def _hello(
    world: World, access: AccessRules, params: Mapping[str, Any], who: ClientInfo, issued: str | None, method: str
) -> dict[str, Any]:
    profile, process = world.profile, world.process
    server: dict[str, Any] = {"version": profile.version, "connId": world.new_id()}
    features: dict[str, Any] = {"methods": advertised(profile), "events": list(EVENTS)}
    snapshot: dict[str, Any] = {
        "presence": [
            {"host": "simulated", "ip": "127.0.0.1", "mode": "gateway", "reason": "self", "ts": world.wall_ms}
        ],
        "health": {"ok": True, "ts": world.wall_ms},
        "stateVersion": {"presence": 1, "health": 1},
        "uptimeMs": process.uptime_ms,
        "sessionDefaults": {
            "defaultAgentId": "main",
            "mainKey": "main",
            "mainSessionKey": "agent:main:main",
            "scope": "per-sender",
        },
        "configPath": f"{access.state_dir}/openclaw.json",
        "stateDir": access.state_dir,
        "authMode": "token",
    }
    scopes = [scope for scope in (params.get("scopes") or ()) if scope in who.scopes]
    if profile.pairs_backends and issued is not None:
        scopes = sorted(access.device_tokens[issued][1])  # the token's, whatever this connection asked for (2026.3.28)
    auth: dict[str, Any] = {"role": params.get("role", "operator"), "scopes": scopes}
    if profile.has_boot_id:
        server |= {"buildId": f"{profile.version}-release-simulated", "bootId": process.boot_id}
        features["capabilities"] = ["gateway-restart-target-safe-v1", "model-catalog-snapshot"]
        snapshot["suspension"] = {"phase": "prepared" if process.is_suspended else "accepting"}
        auth |= {"method": method, "recoveryScope": "simulated"}
    if issued is not None:
        auth |= {"deviceToken": issued, "issuedAtMs": world.wall_ms}
    hello: dict[str, Any] = {
        "type": "hello-ok",
        "protocol": profile.protocol,
        "server": server,
        "features": features,
        "snapshot": snapshot,
        "policy": {"maxPayload": 26214400, "maxBufferedBytes": 52428800, "tickIntervalMs": 30000},
    }
    if profile.protocol >= 4 or issued is not None:
        hello["auth"] = auth
    return hello
