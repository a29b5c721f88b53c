"""An answer that cannot be read is no silence; everything that a gateway sends has its bounds; one never reaches another."""

from __future__ import annotations

from .kinds import GATEWAY, GLANCE, SERVICE, Guard

DECODING = (GATEWAY + "wire/test_decoder.py",)
FRAMES = (GATEWAY + "wire/test_protocol.py",)
LINK = (GATEWAY + "wire/test_connection.py",)
LISTING = (GATEWAY + "sessions/test_pages.py",)
ROWS = (GATEWAY + "sessions/test_rows.py",)
CLIENT = (GATEWAY + "test_client.py",)
STATES = (SERVICE + "test_gateway_states.py",)
IDENTITY = ("tests/unit/gateway/wire/test_identity.py",)
_DECODING = "watchdog/gateway/wire/decoder.py"
_FRAMES = "watchdog/gateway/wire/protocol.py"
_LINK = "watchdog/gateway/wire/connection.py"
_LISTING = "watchdog/gateway/sessions/pages.py"
_LISTER = "watchdog/gateway/sessions/poll.py"
_ROWS = "watchdog/gateway/sessions/rows.py"

GUARDS: tuple[Guard, ...] = (
    # ------------------------------------------------------------ repair
    Guard(
        "wire: half an emoji is repaired",
        "rule 19",
        _DECODING,
        "        better = repaired(data)\n",
        "        better = None\n",
        tests=DECODING,
    ),
    Guard(
        "wire: deep nesting is an unreadable answer",
        "rule 19",
        _DECODING,
        "    except RecursionError as problem:\n",
        "    except ZeroDivisionError as problem:\n",
        tests=DECODING,
    ),
    Guard(
        "wire: a repair looks at so much and no more",
        "rule 19",
        _DECODING,
        "> most_steps:\n",
        "> most_steps * 10**9:\n",
        tests=DECODING,
    ),
    Guard(
        "wire: no repair of what is larger than a frame",
        "rule 19",
        _DECODING,
        "    if len(raw) > MOST_REPAIRED:\n",
        "    if False:\n",
        tests=DECODING,
    ),
    # ------------------------------------------------------------ an unreadable answer is not silence
    Guard(
        "wire: an unreadable frame names its request",
        "rule 19",
        _FRAMES,
        "        if number is None and len(self._waiting) == 1:\n",
        "        if False:\n",
        tests=FRAMES,
    ),
    Guard(
        "wire: an unreadable answer ends its call at once",
        "rule 19",
        _LINK,
        "                call.answer.set_exception(self._unreadable(call.method, frame.reason))\n",
        "                call.answer.set_exception(errors.OutcomeUnknown(frame.reason))\n",
        tests=LINK,
    ),
    Guard(
        "wire: a call that an unreadable frame may have answered was not met with silence",
        "rule 19",
        _LINK,
        "            if call.unreadable is not None:\n",
        "            if False:\n",
        tests=LINK,
    ),
    Guard(
        "wire: a connection that we gave up is not one that broke",
        "rule 19",
        _LINK,
        "        if code is None and closed.sent is not None and closed.sent.code in _UNREADABLE_CODES:\n",
        "        if False:\n",
        tests=LINK,
    ),
    Guard(
        "wire: no outage begins with an unreadable answer",
        "rule 19",
        "watchdog/service/watch.py",
        "            if self._was_connected and not was_given_up:\n",
        "            if self._was_connected:\n",
        tests=STATES,
    ),
    Guard(
        "wire: an unreadable answer counts towards no restart",
        "rule 19",
        "watchdog/service/outages.py",
        "    return phases.get(type(problem), GatewayPhase.REFUSED)\n",
        "    return next((phase for kind, phase in phases.items() if isinstance(problem, kind)), GatewayPhase.REFUSED)\n",
        tests=STATES,
    ),
    Guard(
        "wire: one row that cannot be read blinds no other",
        "rule 19",
        _LISTING,
        "        self._unread_until = offset + limit\n        if limit > 1:\n",
        "        self._unread_until = offset + limit\n        return self.stop(str(problem))\n        if limit > 1:\n",
        tests=LISTING,
    ),
    # ------------------------------------------------------------ bounds
    Guard(
        "wire: values in a frame",
        "rule 19",
        _FRAMES,
        "        if commas > MOST_VALUES:\n",
        "        if False:\n",
        tests=FRAMES,
    ),
    Guard(
        "wire: bytes of a sign-in",
        "rule 19",
        _LINK,
        "            if len(data) > LARGEST_HELLO:\n",
        "            if False:\n",
        tests=LINK,
    ),
    Guard(
        "wire: frames before the hello",
        "rule 19",
        _LINK,
        "        for _ in range(MOST_BEFORE_HELLO):\n",
        "        while True:\n",
        tests=LINK,
    ),
    Guard(
        "wire: who floods us waits",
        "rule 19",
        _LINK,
        "                if wait:\n",
        "                if False:\n",
        tests=LINK,
    ),
    Guard(
        "wire: rows of a page",
        "rule 19",
        _LISTING,
        "        if limit is not None and page.count > limit + MOST_SURPLUS:\n",
        "        if False:\n",
        tests=LISTING,
    ),
    Guard(
        "wire: rows of a list",
        "rule 19",
        _LISTING,
        "        is_too_long = max(page.count, len(self._rows) + len(self._malformed)) > MOST_ROWS\n",
        "        is_too_long = max(page.count, len(self._rows) + len(self._malformed)) > 2 * MOST_ROWS\n",
        tests=LISTING,
    ),
    Guard(
        "wire: texts of a list",
        "rule 19",
        _LISTING,
        "        if is_too_long or self._text_bytes > MOST_TEXT:\n",
        "        if is_too_long or self._text_bytes > 2 * MOST_TEXT:\n",
        tests=LISTING,
    ),
    Guard(
        "wire: a list that goes round",
        "rule 19",
        _LISTING,
        "            if page.next_offset <= offset or not has_news:\n",
        "            if False:\n",
        tests=LISTING,
    ),
    Guard(
        "wire: bytes and time of a reading",
        "rule 19",
        _LISTER,
        "            if (why := poll.exhausted()) is not None:\n",
        "            if (why := None) is not None:\n",
        tests=GLANCE,
    ),
    Guard(
        "wire: the length of a key",
        "rule 19",
        _LISTING,
        "    kept = [row for row in sessions if len(row.key) <= LONGEST_KEY]\n",
        "    kept = sessions\n",
        tests=LISTING,
    ),
    Guard(
        "wire: the size of an answer",
        "rule 19",
        "watchdog/gateway/wire/answers.py",
        "    if size > LARGEST:\n",
        "    if False:\n",
        tests=CLIENT,
    ),
    Guard(
        "wire: the words of a hello",
        "rule 19",
        "watchdog/gateway/wire/handshake.py",
        "    return tuple(word for word in words[:MOST_METHODS] if len(word) <= LONGEST_WORD)\n",
        "    return tuple(words)\n",
        tests=CLIENT,
    ),
    Guard(
        "wire: the size of a device token",
        "rule 19",
        "watchdog/gateway/wire/identity.py",
        "    return _DEVICE_TOKEN.fullmatch(text) is not None\n",
        "    return True\n",
        tests=IDENTITY,
    ),
    Guard(
        "wire: a log line is cut before it is masked",
        "rule 19",
        "watchdog/service/redaction.py",
        "        if most is not None and len(text) > most:\n",
        "        if False:\n",
        tests=(SERVICE + "test_redaction.py",),
    ),
    # ------------------------------------------------------------ one gateway never reaches another
    Guard(
        "wire: a number that no clock says is no time",
        "rule 19",
        "watchdog/gateway/wire/timestamps.py",
        "    return float(millis) if millis is not None and 0 <= millis < MOST_MILLIS else None\n",
        "    return float(millis) if millis is not None else None\n",
        tests=CLIENT,
    ),
    Guard(
        "wire: an instant can be reckoned with",
        "rule 19",
        "watchdog/gateway/wire/timestamps.py",
        "    if millis is None or not 1_577_836_800_000 <= millis < MOST_MILLIS:\n",
        "    if millis is None or not 1_577_836_800_000 <= millis:\n",
        tests=ROWS,
    ),
    Guard(
        "wire: a count is one of something",
        "rule 19",
        "watchdog/gateway/sessions/inspect.py",
        "        if isinstance(value, int | float) and abs(value) <= _MOST_COUNTED\n",
        "        if isinstance(value, int | float)\n",
        tests=CLIENT,
    ),
    Guard(
        "wire: a look that cannot be used leaves one session unknown",
        "rule 19",
        "watchdog/gateway/client.py",
        "        except (ArithmeticError, RecursionError, ValueError) as problem:\n",
        "        except ZeroDivisionError as problem:\n",
        tests=CLIENT,
    ),
    Guard(
        "wire: what one gateway brings out in us ends no other watch",
        "rule 19",
        "watchdog/daemon/runner.py",
        "        except Exception as defect:  # noqa: BLE001",
        "        except ZeroDivisionError as defect:  # noqa: BLE001",
        tests=("tests/unit/daemon/test_rhythm.py",),
    ),
    Guard(
        "wire: a channel is a name and leads nowhere else",
        "rule 19",
        "watchdog/adapters/host.py",
        "        if not _WORD.fullmatch(address.channel):\n",
        "        if False:\n",
        tests=("tests/unit/adapters/host/test_spool.py",),
    ),
)
