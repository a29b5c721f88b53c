"""An answer that cannot be read is no silence; everything that a gateway sends has its bounds; one never reaches another."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, swap, value

from .kinds import GATEWAY, GLANCE, SERVICE, Guard

DECODING = (GATEWAY + "wire/test_decoder.py",)
DIALLING = (GATEWAY + "wire/test_dial.py",)
FRAMES = (GATEWAY + "wire/test_protocol.py",)
LINK = (GATEWAY + "wire/test_connection.py",)
LISTING = (GATEWAY + "sessions/test_pages.py",)
ROWS = (GATEWAY + "sessions/test_rows.py",)
CLIENT = (GATEWAY + "test_client.py",)
STATES = (SERVICE + "test_gateway_states.py",)
APPROVAL = (GATEWAY + "recovery/test_approval.py",)
DAEMON_DOOR = ("tests/unit/daemon/test_first_sign_in.py",)
IDENTITY = ("tests/unit/gateway/wire/test_identity.py",)

GUARDS: tuple[Guard, ...] = (
    Guard(
        "wire: nothing is begun while it is suspended",
        "rule 5",
        NEVER,
        tests=(GATEWAY + "test_client.py",),
    ),
    Guard(
        "wire: a broken configuration is not an empty one",
        "rule 1",
        NEVER,
        tests=(GATEWAY + "sessions/test_inspect.py",),
    ),
    Guard("wire: a long request is read whole", "rule 13", NEVER, tests=(GATEWAY + "sessions/test_inspect.py",)),
    Guard("wire: a time limit unread is not none", "rule 1", NEVER, tests=(GATEWAY + "sessions/test_inspect.py",)),
    # ------------------------------------------------------------ repair
    Guard("wire: a certificate is the one that was named", "rule 19", NEVER, tests=DIALLING),
    Guard("wire: who names a certificate is not spoken to without one", "rule 19", NEVER, tests=DIALLING),
    Guard("wire: half an emoji is repaired", "rule 19", value("None"), tests=DECODING),
    Guard("wire: deep nesting is an unreadable answer", "rule 19", value("ZeroDivisionError"), tests=DECODING),
    Guard("wire: a repair looks at so much and no more", "rule 19", NEVER, tests=DECODING),
    Guard("wire: no repair of what is larger than a frame", "rule 19", NEVER, tests=DECODING),
    # ------------------------------------------------------------ an unreadable answer is not silence
    Guard("wire: an unreadable frame names its request", "rule 19", NEVER, tests=FRAMES),
    Guard(
        "wire: an unreadable answer ends its call at once",
        "rule 19",
        swap("self._unreadable(call.method, frame.reason)", "errors.OutcomeUnknown(frame.reason)"),
        tests=LINK,
    ),
    Guard(
        "wire: a call that an unreadable frame may have answered was not met with silence", "rule 19", NEVER, tests=LINK
    ),
    Guard("wire: a connection that we gave up is not one that broke", "rule 19", NEVER, tests=LINK),
    Guard("wire: no outage begins with an unreadable answer", "rule 19", DROP, tests=STATES),
    Guard(
        "wire: an unreadable answer counts towards no restart",
        "rule 19",
        value("next((phase for kind, phase in phases.items() if isinstance(problem, kind)), GatewayPhase.REFUSED)"),
        tests=STATES,
    ),
    Guard("wire: one row that cannot be read blinds no other", "rule 19", ALWAYS, tests=LISTING),
    # ------------------------------------------------------------ bounds
    Guard("wire: values in a frame", "rule 19", NEVER, tests=FRAMES),
    Guard("wire: bytes of a sign-in", "rule 19", NEVER, tests=FRAMES),
    Guard("wire: frames before the hello", "rule 19", NEVER, tests=FRAMES),
    Guard("wire: who floods us waits", "rule 19", NEVER, tests=LINK),
    Guard("wire: rows of a page", "rule 19", NEVER, tests=LISTING),
    Guard("wire: rows of a list", "rule 19", swap("MOST_ROWS", "2 * MOST_ROWS"), tests=LISTING),
    Guard("wire: texts of a list", "rule 19", swap("MOST_TEXT", "2 * MOST_TEXT"), tests=LISTING),
    Guard("wire: a list that goes round", "rule 19", NEVER, tests=LISTING),
    Guard("wire: bytes and time of a reading", "rule 19", NEVER, tests=GLANCE),
    Guard("wire: the length of a key", "rule 19", ALWAYS, tests=LISTING),
    Guard("wire: the size of an answer", "rule 19", NEVER, tests=CLIENT),
    Guard("wire: the words of a hello", "rule 19", value("tuple(words)"), tests=CLIENT),
    Guard("wire: the size of a device token", "rule 19", value("True"), tests=IDENTITY),
    # ------------------------------------------------------------ what is asked for at the door
    Guard(
        "wire: who observes asks for reading alone", "rule 19", value("may_act(book, section.name)"), tests=DAEMON_DOOR
    ),
    Guard("wire: a token for reading is tried for reading first", "rule 19", NEVER, tests=APPROVAL),
    Guard("wire: who is not served now does not sign in for reading first", "rule 19", NEVER, tests=APPROVAL),
    Guard("wire: where more is refused, reading is asked for", "rule 19", value("ZeroDivisionError"), tests=APPROVAL),
    Guard("wire: a log line is cut before it is masked", "rule 19", NEVER, tests=(SERVICE + "test_redaction.py",)),
    # ------------------------------------------------------------ one gateway never reaches another
    Guard(
        "wire: a number that no clock says is no time",
        "rule 19",
        value("float(millis) if millis is not None else None"),
        tests=CLIENT,
    ),
    Guard("wire: an instant can be reckoned with", "rule 19", swap("MOST_MILLIS", "float('inf')"), tests=ROWS),
    Guard("wire: a count is one of something", "rule 19", DROP, tests=CLIENT),
    Guard(
        "wire: a look that cannot be used leaves one session unknown",
        "rule 19",
        value("ZeroDivisionError"),
        tests=CLIENT,
    ),
    Guard(
        "wire: what one gateway brings out in us ends no other watch",
        "rule 19",
        value("ZeroDivisionError"),
        tests=("tests/unit/daemon/test_rhythm.py",),
    ),
    Guard(
        "wire: a channel is a name and leads nowhere else",
        "rule 19",
        NEVER,
        tests=("tests/unit/adapters/host/test_spool.py",),
    ),
)
