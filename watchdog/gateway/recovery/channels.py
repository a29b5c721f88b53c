"""Can the chat app be spoken through now? ``channels.status`` with a probe, before a deed that must be heard there.

Measured on 2026.3.24, 5.18 and 9.6 (Telegram; ``operator.read``): without a probe the answer says little (an app that has
been unreachable for 30 s is called fine); with one it says ``probe.ok`` false at once. A probe alone misses an account that
the gateway does not run: after 3 crashes in 5 minutes 9.6 starts none, and its probe still says ok.
"""

from __future__ import annotations

from typing import Any

from watchdog.core.model import ReplyAddress
from watchdog.gateway.wire.answers import Call, decoded
from watchdog.gateway.wire.hello import CHANNEL_ID, CRASH_BREAKER
from watchdog.service import errors
from watchdog.service.redaction import Secrets

PROBE_MILLISECONDS = 3000


async def channel_problem(route: ReplyAddress, call: Call, secrets: Secrets | None = None) -> str | None:
    """Why nothing can be heard through this chat app now, in one sentence; None: nothing is known to stand against it.
    ``secrets``: what it does not repeat.

    Raises ``GatewayError`` leaves where the gateway itself is gone or hangs.
    """
    try:
        payload = await call("channels.status", {"probe": True, "timeoutMs": PROBE_MILLISECONDS})
        answer = decoded(payload, object, "channels.status")
    except errors.UnknownMethod:
        return None
    except (errors.RequestRefused, errors.ScopeRefused, errors.AnswerUnreadable) as problem:
        return f"whether {route.channel} can be reached could not be asked ({problem})"
    accounts = _mapping(_mapping(answer).get("channelAccounts")).get(route.channel)
    if not isinstance(accounts, list):
        return f"the gateway lists no account of {route.channel}: it is not configured, or its plugin is not loaded"
    wanted = [one for one in accounts if isinstance(one, dict) and _is_of(one, route, len(accounts))]
    if not wanted:
        return f"the gateway lists no account {route.account_id} of {route.channel}"
    found = (_account_problem(one, route.channel, secrets or Secrets()) for one in wanted)
    return next((said for said in found if said is not None), None)


def _is_of(account: dict[str, Any], route: ReplyAddress, number: int) -> bool:
    if number == 1 or route.account_id is None:
        return True
    return account.get("accountId") == route.account_id


def _account_problem(account: dict[str, Any], channel: str, secrets: Secrets) -> str | None:
    probe = _mapping(account.get("probe"))
    # guard: channel: one that does not run is not spoken through
    if account.get("running") is False or account.get("lifecycle") == "stopped":
        said = account.get("lastError")
        return f"{channel} is not running{_because(said, secrets)}{_way_out(said, channel)}"
    if probe.get("ok") is False:
        status = probe.get("status")
        return f"{channel} cannot be reached" + (f" (it answers {status})" if isinstance(status, int) else "")
    return None


def _way_out(error: object, channel: str) -> str:
    """The gateway ends its own words with this command, further on than they are kept."""
    if not isinstance(error, str) or CRASH_BREAKER not in error or not CHANNEL_ID.fullmatch(channel):
        return ""
    return f'; `openclaw gateway call channels.start --params \'{{"channel":"{channel}"}}\'` starts it'


def _because(error: object, secrets: Secrets) -> str:
    """The gateway's own reason, on one line and short; it may name a host, never a token (those stand in URLs)."""
    if not isinstance(error, str) or not error.strip():
        return ""
    words = secrets.scrub(" ".join(word for word in error.split() if "://" not in word), 1000)
    return f" ({words[:120]}{'…' if len(words) > 120 else ''})"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
