"""The outbox reaches every target at least once, in order, without storms, and whatever one target does."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given

from tests.fakes.clock import START, ManualClock
from tests.unit.hostile import ANY_TEXT, CALLS, hostile, is_printable
from tests.unit.notify.outbox import Outbox, told
from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.model import GatewayPhase, Status
from watchdog.core.policy import Step
from watchdog.core.printable import read, unaddressed
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.notify.delivery import (
    FIRST_WAIT,
    JITTER,
    LONGEST_WAIT,
    Notifier,
    Target,
    TargetEntry,
    targets_from,
    through_gateways,
)
from watchdog.notify.senders import DeliveryFailed
from watchdog.service.announcements import (
    did_not_help,
    gateway_down,
    long_running,
    quarantined,
    stuck,
    unanswered,
    unknown,
)
from watchdog.service.announcements.phrases import ONLY_OBSERVES
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import GIVE_UP_AFTER, Incident, Message, MessageKind
from watchdog.service.redaction import Secrets
from watchdog.status.metrics import PrometheusMeter

MINUTE = timedelta(minutes=1)


@dataclass
class FakeSender:
    """Takes messages, or does what ``trouble`` says instead."""

    trouble: Exception | None = None
    gate: asyncio.Event | None = None
    hates: str | None = None
    hates_digests: bool = False
    taken: list[Message] = field(default_factory=list)
    parts: list[list[Message]] = field(default_factory=list)
    tries: int = 0
    is_closed: bool = False

    async def send(self, message: Message, parts: Sequence[Message] = ()) -> None:
        self.tries += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        if message.title == self.hates or any(part.title == self.hates for part in parts):
            raise DeliveryFailed("it answered 400", is_messages_fault=True)
        if parts and self.hates_digests:
            raise DeliveryFailed("it answered 422", is_messages_fault=True)
        self.taken.append(message)
        self.parts.append(list(parts))

    async def aclose(self) -> None:
        self.is_closed = True

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.taken]


class Bench:
    """A notifier over an in-memory outbox, with a fake sender for each target."""

    def __init__(
        self,
        *targets: Target,
        secrets: Secrets | None = None,
        config_file: Path | None = None,
        is_observing: bool = False,
        host: str | None = None,
    ) -> None:
        self.is_observing = is_observing
        self.host = host
        self.lost_after = 1000
        """Messages, after which another process delivers."""
        self.outbox = Outbox()
        self.clock = ManualClock(may_sleep=False)
        self.log = MemoryLog()
        self.meter = PrometheusMeter("test")
        self.targets = targets or (Target("webhook-1", "http://a"),)
        self.senders = {target.url: FakeSender() for target in self.targets}
        self.secrets = secrets
        self.config_file = config_file
        self.notifier = self.restarted()

    def restarted(self) -> Notifier:
        self.notifier = Notifier(
            self.outbox.ledger,
            self.targets,
            self.clock,
            Random(7),
            self.log,
            self.meter,
            secrets=self.secrets,
            make_sender=self.senders.__getitem__,
            config_file=self.config_file,
            is_observing=self.is_observing,
            host=self.host,
            is_ours=self.is_ours,
        )
        return self.notifier

    def is_ours(self) -> bool:
        return len(self.sender().taken) < self.lost_after

    def sender(self, place: int = 0) -> FakeSender:
        return self.senders[self.targets[place].url]

    async def round(self, later: timedelta = timedelta()) -> None:
        await self.notifier.deliver_due(self.clock.advance(later))

    def counted(self, state: str) -> float | None:
        return self.meter.registry.get_sample_value("openclaw_watchdog_notifications_total", {"state": state})


async def test_a_pasted_command_is_about_the_configuration_that_it_came_from() -> None:
    """Only a command begins a line so: what others wrote stands inside of one."""
    bench = Bench(config_file=Path("/srv/my watchdogs/@two.yaml"))
    words = "It said:   openclaw-watchdog run\n\n  openclaw-watchdog explain a:b --gateway old"
    bench.outbox.put(replace(told(1), body=words))
    await bench.round()
    assert bench.sender().taken[0].body == f"{words} --config '/srv/my watchdogs/@two.yaml'"


async def test_a_message_names_the_machine_on_which_its_commands_are_typed() -> None:
    bench = Bench(host="nas", is_observing=True)
    bench.outbox.put(replace(told(1), body="It went down."))
    await bench.round()
    await bench.notifier.send_now(replace(told(9), body="The ledger is gone."))
    end = f"\n\n{ONLY_OBSERVES}\n\nFrom openclaw-watchdog on nas."
    assert [one.body for one in bench.sender().taken] == [f"It went down.{end}", f"The ledger is gone.{end}"]


@pytest.mark.parametrize("number", [1, 6], ids=["alone", "together"])
async def test_every_message_of_who_only_observes_says_so_once(number: int) -> None:
    bench = Bench(is_observing=True)
    held = f"Next would be resuming it, but that is held back:\n- {ONLY_OBSERVES}\n\n  openclaw-watchdog explain a:b"
    quoted = f"It said: {ONLY_OBSERVES}"
    for each in range(number):
        bench.outbox.put(replace(told(each), body=(held, quoted, "It went down.")[each % 3]))
    await bench.round()
    (sent,), parts = bench.sender().taken, bench.sender().parts[0]
    assert (sent.body == held) is (number == 1)
    assert [part.body for part in parts[:3]] == [
        held,
        f"{quoted}\n\n{ONLY_OBSERVES}",
        f"It went down.\n\n{ONLY_OBSERVES}",
    ][: len(parts)]
    past = await bench.notifier.send_now(replace(told(9), body="The ledger is gone."))
    assert past == {"webhook-1": None}
    assert all(one.body.count(ONLY_OBSERVES) == 1 for one in bench.sender().taken)
    assert bench.sender().taken[-1].body.endswith(f"\n\n{ONLY_OBSERVES}")


DOWN = DeliveryFailed("it cannot be reached")


async def test_what_is_owed_is_delivered_once_and_in_order() -> None:
    bench = Bench()
    for number in (1, 2, 3):
        bench.outbox.put(told(number))
    await bench.round()
    await bench.round(MINUTE)
    assert bench.sender().titles == ["Title 1", "Title 2", "Title 3"]
    assert bench.counted("delivered") == 3
    line = bench.log.of(Event.NOTIFICATION_DELIVERED)[0]
    assert line == {
        "gateway": "home",
        "session": "agent:main:1",
        "incident": "i-1",
        "target": "webhook-1",
        "kind": "stuck",
        "count": 1,
    }


async def test_more_than_five_at_once_become_one_digest() -> None:
    bench = Bench()
    for number in range(1, 7):
        bench.outbox.put(told(number))
    await bench.round()
    assert bench.sender().titles == ["Several at once: 6 stuck"]
    assert [part.title for part in bench.sender().parts[0]] == [f"Title {number}" for number in range(1, 7)]
    assert len(bench.outbox.delivered) == 6
    assert bench.counted("delivered") == 6
    await bench.round(MINUTE)
    assert bench.sender().tries == 1


async def test_five_at_once_are_told_one_by_one() -> None:
    bench = Bench()
    for number in range(5):
        bench.outbox.put(told(number))
    await bench.round()
    assert len(bench.sender().taken) == 5


async def test_who_has_lost_the_outbox_sends_no_more_of_its_round() -> None:
    """Two hundred messages to a slow target take longer than a lease."""
    bench = Bench()
    for number in range(5):
        bench.outbox.put(told(number))
    bench.lost_after = 2
    await bench.round()
    assert len(bench.sender().taken) == 2
    bench.lost_after = 1000
    await bench.round(MINUTE)
    assert len(bench.sender().taken) == 5


async def test_a_digest_that_is_refused_is_told_one_by_one_and_in_order() -> None:
    bench = Bench()
    bench.sender().hates_digests = True
    for number in range(1, 13):
        bench.outbox.put(told(number))
    await bench.round()
    assert bench.sender().titles == [f"Title {number}" for number in range(1, 6)]
    assert bench.sender().tries == 1 + 5, "no storm"
    bench.outbox.put(told(13))
    for _ in range(40):
        await bench.round(timedelta(seconds=0.1))
    assert bench.sender().tries == 1 + 5, "however often it is woken"
    for _ in range(3):
        await bench.round(timedelta(seconds=5))
    assert bench.sender().titles == [f"Title {number}" for number in range(1, 14)]
    assert bench.sender().tries == 1 + 13
    assert not bench.outbox.failed
    (line,) = bench.log.of(Event.NOTIFICATION_FAILED)
    assert line["reason"] == "it answered 422 to a digest; each message of it is sent on its own"
    for number in range(14, 20):
        bench.outbox.put(told(number))
    await bench.round(MINUTE)
    await bench.round(MINUTE)
    assert bench.sender().titles[13:] == [f"Title {number}" for number in range(14, 20)]


async def test_one_message_that_a_target_cannot_take_spoils_no_digest_for_the_others() -> None:
    bench = Bench()
    bench.sender().hates = "Title 3"
    for number in range(1, 8):
        bench.outbox.put(told(number))
    await bench.round()
    await bench.round(timedelta(seconds=5))
    assert bench.sender().titles == [f"Title {number}" for number in (1, 2, 4, 5, 6, 7)]
    assert [item.last_error for item in bench.outbox.failed.values()] == ["it answered 400"]
    for number in range(8, 15):
        bench.outbox.put(told(number))
    await bench.round(MINUTE)
    assert bench.sender().titles[6:] == ["Several at once: 7 stuck"], "it comes again beside the digest, not in it"


async def test_what_was_a_digest_waits_together_when_its_target_fails() -> None:
    bench = Bench()
    bench.sender().hates_digests = True
    for number in range(1, 13):
        bench.outbox.put(told(number))
    await bench.round()
    bench.sender().trouble = DOWN
    await bench.round(timedelta(seconds=5))
    assert len(bench.outbox.failed) == 7
    bench.sender().trouble = None
    for _ in range(2):
        await bench.round(MINUTE)
    assert bench.sender().titles == [f"Title {number}" for number in range(1, 13)]


async def test_a_dead_target_is_asked_ever_more_rarely_and_given_up_after_a_day() -> None:
    bench = Bench()
    bench.sender().trouble = DOWN
    number = bench.outbox.put(told(1))
    tries_at: list[timedelta] = []
    while not bench.log.of(Event.NOTIFICATION_GIVEN_UP):
        before = bench.sender().tries
        await bench.round()
        if bench.sender().tries > before:
            tries_at.append(bench.clock.now().wall - START.wall)
        bench.clock.advance(timedelta(seconds=5))
    waits = [later - earlier for earlier, later in pairwise(tries_at)]
    for place, wait in enumerate(waits):
        base = min(FIRST_WAIT * 2**place, LONGEST_WAIT)
        assert base <= wait <= base * (1 + JITTER) + timedelta(seconds=5)
    assert GIVE_UP_AFTER <= tries_at[-1] <= GIVE_UP_AFTER + LONGEST_WAIT * (1 + JITTER)
    assert 25 <= len(tries_at) <= 35
    item = bench.outbox.failed[number, "webhook-1"]
    assert item.next_try_at is None
    assert item.last_error == "it cannot be reached"
    assert len(bench.log.of(Event.NOTIFICATION_FAILED)) == 1
    assert bench.counted("given_up") == 1
    await bench.round(timedelta(days=1))
    assert bench.sender().tries == len(tries_at)


async def test_after_an_outage_all_that_waited_comes_as_one_digest() -> None:
    bench = Bench()
    bench.sender().trouble = DOWN
    for number in range(1, 11):
        bench.outbox.put(told(number), bench.clock.now().wall)
        await bench.round(6 * MINUTE)
    tries_in_outage = bench.sender().tries
    assert tries_in_outage <= 8
    bench.sender().trouble = None
    await bench.round(2 * LONGEST_WAIT)
    assert bench.sender().titles == ["Several at once: 10 stuck"]
    assert len(bench.outbox.delivered) == 10


async def test_a_message_the_target_cannot_take_does_not_block_the_others() -> None:
    bench = Bench()
    bench.sender().hates = "Title 1"
    for number in (1, 2):
        bench.outbox.put(told(number))
    await bench.round()
    assert bench.sender().titles == ["Title 2"]
    bench.outbox.put(told(3))
    await bench.round(timedelta(seconds=1))
    assert bench.sender().titles == ["Title 2", "Title 3"]
    assert bench.log.of(Event.NOTIFICATION_FAILED)[0]["reason"] == "it answered 400"


async def test_a_failing_or_hanging_target_never_blocks_another() -> None:
    bench = Bench(Target("webhook-1", "http://a"), Target("webhook-2", "http://b"), Target("ntfy-1", "ntfy://c"))
    gate = bench.sender(0).gate = asyncio.Event()
    bench.sender(1).trouble = RuntimeError("a plugin's own bug, with a token in it")
    bench.outbox.put(told(1))
    first = asyncio.create_task(bench.round())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bench.sender(2).titles == ["Title 1"]
    bench.outbox.put(told(2))
    await bench.round(timedelta(seconds=1))  # a second round while the first still hangs on webhook-1
    assert bench.sender(2).titles == ["Title 1", "Title 2"]
    assert bench.sender(0).tries == 1
    gate.set()
    await first
    assert bench.sender(0).titles == ["Title 1"]
    assert bench.outbox.failed[1, "webhook-2"].last_error == "sending failed (RuntimeError)"


async def test_a_target_that_never_answers_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchdog.notify.delivery.SEND_WITHIN", 0.01)
    bench = Bench()
    bench.sender().gate = asyncio.Event()
    bench.outbox.put(told(1))
    await bench.round()
    assert bench.outbox.failed[1, "webhook-1"].last_error == "it did not answer in time"


async def test_a_new_life_of_the_daemon_keeps_the_wait_and_tries_again() -> None:
    bench = Bench()
    bench.sender().trouble = DOWN
    bench.outbox.put(told(1))
    await bench.round()
    bench.restarted()
    await bench.round(timedelta(seconds=10))
    assert bench.sender().tries == 1
    bench.sender().trouble = None
    await bench.round(MINUTE)
    assert bench.sender().titles == ["Title 1"]


async def test_a_host_that_was_off_for_days_still_tries() -> None:
    bench = Bench()
    bench.sender().trouble = DOWN
    bench.outbox.put(told(1), START.wall - timedelta(days=3))
    await bench.round()
    assert not bench.log.of(Event.NOTIFICATION_GIVEN_UP)
    for _ in range(3):
        await bench.round(10 * MINUTE)
    assert bench.sender().tries == 3
    assert bench.log.of(Event.NOTIFICATION_GIVEN_UP)[0]["tries"] == 3


# ---------------------------------------------------------------- the ledger in trouble


async def test_what_was_sent_is_not_sent_again_when_the_ledger_cannot_note_it() -> None:
    bench = Bench()
    bench.outbox.put(told(1))
    bench.outbox.is_writable = False
    for _ in range(3):
        await bench.round(MINUTE)
    assert bench.sender().titles == ["Title 1"]
    bench.outbox.is_writable = True
    await bench.round(MINUTE)
    assert bench.outbox.delivered == {(1, "webhook-1")}
    assert bench.sender().tries == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_a_number_given_out_again_by_an_older_copy_of_the_ledger_is_another_message(*, fails: bool) -> None:
    bench = Bench()
    bench.sender().hates = "Title 1" if fails else ""
    bench.outbox.put(told(1))
    bench.outbox.is_writable = False
    await bench.round(MINUTE)
    bench.outbox.owed.clear()
    bench.outbox.put(told(2))
    bench.outbox.is_writable = True
    await bench.round(timedelta(seconds=1))
    assert bench.sender().titles == (["Title 2"] if fails else ["Title 1", "Title 2"])


async def test_waits_hold_when_the_ledger_cannot_note_them() -> None:
    bench = Bench()
    bench.sender().hates = "Title 1"
    bench.outbox.put(told(1))
    bench.outbox.is_writable = False
    for _ in range(10):
        await bench.round(timedelta(seconds=1))
    assert bench.sender().tries == 1


async def test_an_unreadable_ledger_is_quietly_waited_out() -> None:
    bench = Bench()
    bench.outbox.put(told(1))
    bench.outbox.is_readable = False
    await bench.round()
    assert bench.sender().tries == 0
    bench.outbox.is_readable = True
    await bench.round(MINUTE)
    assert bench.sender().titles == ["Title 1"]


async def test_past_the_outbox_every_target_says_how_it_went() -> None:
    bench = Bench(
        Target("webhook-1", "http://a"),
        Target("ntfy-1", "ntfy://b", frozenset({MessageKind.STUCK})),
        Target("ntfy-2", "ntfy://c", frozenset()),
    )
    bench.sender(0).trouble = DOWN
    outcome = await bench.notifier.send_now(told(1, MessageKind.LEDGER))
    assert outcome == {"webhook-1": "it cannot be reached", "ntfy-1": None, "ntfy-2": None}
    assert await bench.notifier.send_now(told(2)) == {"webhook-1": "it cannot be reached", "ntfy-1": None}
    await bench.notifier.aclose()
    assert all(sender.is_closed for sender in bench.senders.values())


# ---------------------------------------------------------------- who gets what


async def test_a_target_gets_only_what_it_asked_for() -> None:
    bench = Bench(Target("webhook-1", "http://a", frozenset({MessageKind.QUARANTINED})))
    bench.outbox.put(told(1))
    bench.outbox.put(told(2, MessageKind.QUARANTINED))
    bench.outbox.put(told(3, MessageKind.LEDGER))
    await bench.round()
    assert bench.sender().titles == ["Title 2", "Title 3"]
    assert len(bench.outbox.delivered) == 3


@pytest.mark.parametrize(
    ("asked", "also"),
    [
        (MessageKind.STUCK, {MessageKind.CLEARED, MessageKind.UNKNOWN, MessageKind.UNANSWERED}),
        (MessageKind.RECOVERED, {MessageKind.CLEARED}),
        (MessageKind.GATEWAY_DOWN, {MessageKind.GATEWAY_UP}),
        (MessageKind.LONG_RUNNING, set()),
    ],
)
def test_what_goes_with_what(asked: MessageKind, also: set[MessageKind]) -> None:
    always = {MessageKind.TEST, MessageKind.LEDGER, MessageKind.FLEET_BREAKER}
    target = Target("webhook-1", "http://a", frozenset({asked}))
    assert {kind for kind in MessageKind if target.wants(kind)} == {asked} | also | always
    assert all(Target("webhook-1", "http://a").wants(kind) for kind in MessageKind)


def test_targets_are_named_without_their_urls() -> None:
    entries = [
        ("https://example.org/hooks/abc", None),
        ("json+http://127.0.0.1:9000/x", [MessageKind.STUCK]),
        ("https://discord.com/api/webhooks/1/2", None),
        ("discord://1/2", None),
        ("mailtos://me:secret@example.org", None),
        ("no url at all", None),
    ]
    targets = targets_from([TargetEntry(url, on) for url, on in entries])
    assert [target.name for target in targets] == [
        "webhook-1",
        "webhook-2",
        "discord-1",
        "discord-2",
        "mailtos-1",
        "target-1",
    ]
    assert targets[1].on == frozenset({MessageKind.STUCK})
    assert "example" not in repr(targets)


def test_a_given_name_leaves_the_others_theirs_and_is_nobody_elses() -> None:
    entries = [TargetEntry("ntfy://a", name="phone"), TargetEntry("ntfy://b"), TargetEntry("ntfy://c", name="ntfy-3")]
    entries += [TargetEntry("ntfy://d")]
    assert [target.name for target in targets_from(entries[:2])] == ["phone", "ntfy-2"]
    assert [target.name for target in targets_from(entries)] == ["phone", "ntfy-2", "ntfy-3", "ntfy-4"]
    assert [target.name for target in targets_from(entries[1:])] == ["ntfy-1", "ntfy-3", "ntfy-4"]


@pytest.mark.parametrize(
    ("url", "gateway"),
    [
        ("http://localhost:18789/hooks/agent", "ws://127.0.0.1:18789"),
        ("json+http://127.0.0.1:18789", "ws://127.0.0.1:18789/"),
        ("json://[::1]:18789/x", "ws://127.0.0.1:18789"),
        ("https://proxy.example/two/hooks", "wss://proxy.example/two"),
        ("https://user:pass@proxy.example:443/two", "wss://proxy.example/two/"),
        ("https://proxy.example/hooks/agent", "wss://proxy.example"),
    ],
)
def test_never_through_a_watched_gateway(url: str, gateway: str) -> None:
    (why,) = through_gateways(targets_from([TargetEntry(url, name="phone")]), ["ws://[", gateway]).values()
    assert why.startswith("notify target phone is a watched gateway itself")
    assert not re.search("18789|example|pass@", why)


@pytest.mark.parametrize(
    ("url", "gateway"),
    [
        ("http://127.0.0.1:9000", "ws://127.0.0.1:18789"),
        ("ntfy://[", "ws://127.0.0.1:18789"),
        ("https://proxy.example/alerts", "wss://proxy.example/two"),
        ("https://proxy.example/twofold", "wss://proxy.example/two"),
        ("https://proxy.example/alerts", "wss://proxy.example"),
    ],
)
def test_beside_a_watched_gateway(url: str, gateway: str) -> None:
    assert not through_gateways(targets_from([TargetEntry(url)]), [gateway])


async def test_nothing_secret_goes_out_or_is_logged() -> None:
    url = "https://example.org/hooks/XXXXbbbb1111YYYY"
    bench = Bench(Target("webhook-1", url), secrets=Secrets(["hunter2-hunter2"]))
    body = "ws://u:p@h failed with hunter2-hunter2 at XXXXbbbb1111YYYY"
    for number in range(7):
        bench.outbox.put(Message(MessageKind.STUCK, "home", "T hunter2-hunter2", body, f"{number}"))
    await bench.round()
    bench.sender().trouble = ValueError(url)
    bench.outbox.put(told(9))
    await bench.round(MINUTE)
    seen = repr((bench.sender().taken, bench.sender().parts, bench.log.lines, bench.outbox.failed))
    for secret in ("hunter2-hunter2", "XXXXbbbb1111YYYY", "u:p", "example.org"):
        assert secret not in seen


CALLING = "@everyone <!channel> <@U1> @alice x@here x@4711 [x](http://y) <a href='http://y'>y</a>"


async def test_no_key_and_no_name_calls_anybody() -> None:
    bench = Bench()
    incident = Incident("i-1", CALLING, CALLING, "sid", START.wall, CALLING)
    for number in range(2):
        bench.outbox.put(
            stuck(incident, now=START.wall, unattended_for=MINUTE, explanation=CALLING, next_step=Step.RESUME)
            if number
            else Message(MessageKind.STUCK, "home", f"T {CALLING}\nU", f"first\n{CALLING}\x1b[2J\u202e", "old")
        )
    await bench.round()
    for _ in range(6):
        bench.outbox.put(Message(MessageKind.STUCK, "home", CALLING, CALLING, "many", CALLING))
    await bench.round(MINUTE)
    told = [*bench.sender().taken, *(part for parts in bench.sender().parts for part in parts)]
    assert len(told) == 2 + 1 + 6
    for message in told:
        assert not CALLS.search(message.title)
        assert not CALLS.search(message.body)
        assert is_printable(message.title)
        assert is_printable(message.body.replace("\n", ""))
    body = bench.sender().taken[1].body
    pasted = shlex.split(body.rpartition("\n  ")[2])
    assert pasted[:2] == ["openclaw-watchdog", "explain"]
    assert read(pasted[2]) == CALLING, "and the command still means that session"


@hostile
@given(ANY_TEXT)
def test_whatever_a_message_is_about_it_prints_and_its_command_means_it(text: str) -> None:
    now = START.wall
    incident = Incident("i-1", "home", text, "sid", now, text)
    attempt = Attempt(1, "i-1", 1, Step.RESUME, AttemptState.INEFFECTIVE, "k", now, now, now, text)
    blocker = Blocker(BlockerName.PAUSED, text)
    run = RunIdentity("sid", now, Status.RUNNING)
    for message in (
        stuck(incident, now=now, unattended_for=MINUTE, explanation=text, next_step=Step.RESUME, blockers=[blocker]),
        did_not_help(incident, attempt, now=now, next_step=Step.NEW),
        quarantined(replace(incident, attempts=(attempt,)), now=now, why=text),
        long_running("home", text, run, now=now, running_for=MINUTE, explanation=text, is_alive=True),
        unknown("home", text, run, now=now, quiet_for=MINUTE, explanation=text),
        unanswered("home", text, run, now=now, ended_at=now, explanation=text),
        gateway_down("home", GatewayPhase.DOWN, since=now, now=now, problem=text),
    ):
        for line in (message.title, *message.body.split("\n")):
            assert is_printable(line)
            if line.startswith("  openclaw-watchdog") and message.session is not None and "doctor" not in line:
                assert line == unaddressed(line), "nothing on the way to a target changes a command"
                assert read(shlex.split(line)[2]) == text


async def test_a_slow_server_is_not_asked_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass of each gateway wakes the outbox."""
    bench, asked = Bench(), list[float]()
    ask, began = bench.outbox.ledger.due_messages, bench.clock.now()

    def slow(*what: Any, **named: Any) -> Any:
        asked.append(round(bench.clock.now().since(began).total_seconds(), 1))
        bench.clock.advance(0.4)
        return ask(*what, **named)

    monkeypatch.setattr(bench.outbox.ledger, "due_messages", slow)
    for _ in range(100):
        await bench.round(timedelta(seconds=0.1))
    assert asked == [0.1, 4.1, 8.1], "a tenth of the time"
    bench.outbox.put(told(1))
    await bench.round(timedelta(seconds=4))
    assert bench.sender().titles == [told(1).title]
    bench.outbox.put(told(2))
    await bench.notifier.deliver_due(bench.clock.now(), is_last=True)
    assert len(bench.sender().titles) == 2, "at the end it is asked at once"


async def test_rounds_are_the_same_for_the_same_seed() -> None:
    async def waits() -> list[datetime | None]:
        bench = Bench()
        bench.sender().trouble = DOWN
        bench.outbox.put(told(1))
        found = []
        for _ in range(5):
            await bench.round(2 * LONGEST_WAIT)
            found.append(bench.outbox.failed[1, "webhook-1"].next_try_at)
        return found

    assert await waits() == await waits()
