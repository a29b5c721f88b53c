"""Every message the operator is owed, written for somebody who was woken by it.

The title says what happened to whom; the first sentence says it again with since when; then what was done and whether it
worked; the commands to type next stand alone at the end. Never a person's words from a conversation, never a secret: only
keys, times, reasons and our own sentences go in. Times are UTC, and say so.

Pure functions. ``dedupe_key`` makes each message once: opened and closed once per incident, quarantined once, an attempt's
ending once, an outage and a storm of restarts once each way, long-running, unknown and unanswered once per run, a reminder once after the one before it.
"""

from watchdog.service.announcements.gateways import (
    channels_stopped,
    fleet_breaker_closed,
    fleet_breaker_opened,
    gateway_down,
    gateway_keeps_restarting,
    gateway_left_alone,
    gateway_restarted,
    gateway_settled,
    gateway_up,
)
from watchdog.service.announcements.ourselves import digest, ledger_lost, ledger_restored, ledger_unavailable, trial
from watchdog.service.announcements.sessions import (
    cleared,
    closed,
    did_not_help,
    given_up,
    long_running,
    never_sent,
    perhaps_asked,
    quarantined,
    recovered,
    still_open,
    still_quarantined,
    stuck,
    unanswered,
    unknown,
    unknown_status,
)

__all__ = [
    "channels_stopped",
    "cleared",
    "closed",
    "did_not_help",
    "digest",
    "fleet_breaker_closed",
    "fleet_breaker_opened",
    "gateway_down",
    "gateway_keeps_restarting",
    "gateway_left_alone",
    "gateway_restarted",
    "gateway_settled",
    "gateway_up",
    "given_up",
    "ledger_lost",
    "ledger_restored",
    "ledger_unavailable",
    "long_running",
    "never_sent",
    "perhaps_asked",
    "quarantined",
    "recovered",
    "still_open",
    "still_quarantined",
    "stuck",
    "trial",
    "unanswered",
    "unknown",
    "unknown_status",
]
