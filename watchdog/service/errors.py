"""The error tree. Every leaf says in its docstring what it means; every message is one sentence with the way out."""

from __future__ import annotations

from collections.abc import Iterable


class WatchdogError(Exception):
    """Root of everything this program raises on purpose. ``str(error)`` is one clear sentence, free of secrets."""


class GatewayError(WatchdogError):
    """Something went wrong between us and one gateway."""


class GatewayUnreachable(GatewayError):
    """Nothing accepts connections at the url: the gateway is down, or the url is wrong.

    ``was_refused``: its machine answered, and nothing listens there. False: not reached, perhaps for a reason of ours.
    """

    def __init__(self, message: str, *, was_refused: bool = False) -> None:
        super().__init__(message)
        self.was_refused = was_refused


class GatewayClosed(GatewayError):
    """The connection ended. ``code`` 1012: the gateway restarts; 1006: it went away without a word (kill -9)."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class GatewayUnresponsive(GatewayError):
    """Connected, or connecting, but no answer in time: hung, stopped, or its event loop is blocked."""


class GatewayAway(GatewayError):
    """It takes nothing for now, by its own account. ``said``: its own words, where it answered a request of ours with them; None: the
    connection alone shows it. Answered to a deed by a gateway that is well otherwise, it is a refusal like any other."""

    def __init__(self, message: str, said: str | None = None) -> None:
        super().__init__(message)
        self.said = said


class GatewayStarting(GatewayAway):
    """It listens and says that it is still starting (``UNAVAILABLE``, 2026.9.x)."""


class GatewayDraining(GatewayAway):
    """It is shutting down or restarting and takes no new work (HTTP 503, or ``gateway-restarting``)."""


class GatewaySuspended(GatewayAway):
    """Somebody suspended it on purpose (2026.9.6): it lets us in and refuses every request until it is resumed."""


class ListRefused(GatewayError):
    """It lets us in and refuses its own list of sessions (2026.9.6 whose database has another schema). The sentence holds
    its words, which quote nobody."""


class ChannelDown(GatewayError):
    """The gateway says that the chat app through which a deed would speak is not running or cannot be reached."""


class OutOfDescriptors(GatewayError):
    """This process has reached its limit of file descriptors. It says nothing about the gateway."""


class NotAGateway(GatewayError):
    """Something answers at the url, but it is not an OpenClaw gateway."""


class ForeignListener(GatewayError):
    """Another account than the gateway's answers on its port: nothing secret was sent. It says nothing of the gateway."""


class ProtocolMismatch(GatewayError):
    """It speaks no protocol version that we speak (3 and 4)."""


class AuthenticationRefused(GatewayError):
    """Wrong or missing token, password or device token. Waiting may help: tokens are rotated while we run."""


class PairingRequired(GatewayError):
    """The gateway wants this device approved first: ``openclaw devices approve``. Only where it does not see us come from
    its own machine: over a network, through a proxy, out of or into a container.

    ``reason``: the gateway's own word, ``not-paired`` or ``scope-upgrade`` (measured), ``role-upgrade`` and others (in its
    source); None: it gives none. ``approved``: the scopes that the device is approved for; None: it does not say (before
    2026.5.18), or does not know the device. ``request``: the id of what is to be approved; None: it names none that can be typed.
    ``unchecked_peer``: why nobody looked up whose the port is that says so; None: it is the gateway's own account's, or root's.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        approved: frozenset[str] | None = None,
        request: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.request = request
        self.approved = approved
        self.unchecked_peer: str | None = "nobody looked"

    def may_allow(self, scopes: Iterable[str]) -> bool:
        """Less than what was refused may still be let in: these scopes. Any other reason has nothing to do with scopes."""
        return self.reason == "scope-upgrade" and (self.approved is None or self.approved.issuperset(scopes))


class ScopeRefused(GatewayError):
    """A scope this device or token was not granted (``AUTH_SCOPE_MISMATCH``, ``MISSING_SCOPE``)."""

    def __init__(self, message: str, scope: str | None = None) -> None:
        super().__init__(message)
        self.scope = scope


class RateLimited(GatewayError):
    """Too many failed sign-ins from here; ``retry_after`` seconds if it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnknownMethod(GatewayError):
    """This version has no such method."""


class RequestRefused(GatewayError):
    """The gateway refused one request. ``code`` and ``detail`` are its own words, shortened. ``retryable``: it may pass.
    ``says_retryable``: the gateway itself says so; ``UNAVAILABLE`` alone does not (2026.9.6 with a drifted schema)."""

    def __init__(
        self, message: str, *, code: str, detail: str = "", retryable: bool = False, says_retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail
        self.retryable = retryable or says_retryable
        self.says_retryable = says_retryable


class SentTooLate(GatewayError):
    """A deed was not sent: since its claim so much time went by that another replica may look after the gateway now."""


class OutcomeUnknown(GatewayError):
    """A request was sent and its answer never came: it may or may not have been carried out. Never sent again."""


class AnswerUnreadable(OutcomeUnknown):
    """An answer came and cannot be read: the gateway is neither away nor hanging, and what was asked may have been done.

    Harms what was asked for and nothing else: one look, one page of a list. Never counted as silence.
    ``ends_connection``: the connection could not survive it, so nothing else is asked over it.
    """

    def __init__(self, message: str, *, ends_connection: bool = False) -> None:
        super().__init__(message)
        self.ends_connection = ends_connection


class PassFailed(GatewayError):
    """A pass over this gateway ended by an exception that none should raise: what it says triggers a defect of ours. The
    gateway is neither away nor sick, and the others are watched as before."""


class InsecureTransport(GatewayError):
    """``ws://`` to another machine would show the token to the network."""


class LedgerError(WatchdogError):
    """The ledger cannot be used now. No deeds until it can."""


class LedgerUnavailable(LedgerError):
    """Read-only, full disk, locked, corrupt or gone. Heals by itself when the cause is gone."""


class LedgerMisconfigured(LedgerError):
    """What the configuration says of it cannot be used here, until somebody edits that or installs what it needs."""


class LeaseLost(LedgerError):
    """Another replica watches this gateway now, or may before a deed is sent: nothing was written, and nothing is done. The ledger
    itself is well."""


class LedgerTooNew(LedgerError):
    """Written by a newer version of this program; never downgraded."""


class LedgerInUse(LedgerError):
    """Another watchdog owns this ledger. ``pid`` is that process."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid
