"""People and programs around one gateway: everyday life, most of it healthy, some of it odd, none of it a fault."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from openclaw_simulator import sessions as turns
from openclaw_simulator.people import key_of_chat
from openclaw_simulator.process import Phase
from openclaw_simulator.records import Person
from openclaw_simulator.sessions import Activity, ActivityStep, Address, ConversationKind, Origin, Turn
from openclaw_simulator.world import World
from tests.simulator.traffic import turn_of

HOUR = 3600.0
_WEIGHTS = (
    ("answers", 0.44),
    ("streams", 0.10),
    ("tools", 0.10),
    ("long_tool", 0.07),
    ("slow", 0.07),
    ("silent", 0.03),
    ("retries", 0.03),
    ("fails", 0.02),
    ("approval", 0.03),
    ("question", 0.02),
    ("compacts", 0.03),
    ("children", 0.03),
    ("empty", 0.03),
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How busy the people of one world are."""

    turns_per_hour: float
    """Of one session."""
    stops: float = 0.03
    """Share of turns that somebody stops."""
    second_words: float = 0.05
    """Share of turns during which the person writes again."""
    fresh: float = 0.02
    """Share of turns that are ``/new``."""


ALICE, BOB, CAROL = Person("1001", "Alice Ames", "alice"), Person("1002", "Bob (1001)"), Person("1003", "Carol")
EVERYBODY = (ALICE, BOB, CAROL)


class Company:
    """Several people to a session: a shared main session, groups and topics, on Telegram. What they do is drawn by a source
    of their own, so that a world without company lives as it did."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.shared: set[str] = set()
        self.words = 0
        self.are_gone = False
        world.channels.add("telegram")
        if rng.random() < 0.5:
            deny = {"deny": ["exec", "process", "write", "edit"]}
            rules = {"*": {"requireMention": False, "toolsBySender": {"id:1001": deny}}}
            world.config = {"channels": {"telegram": {"groups": rules}}}
        elif rng.random() < 0.5:
            world.config = {"commands": {"ownerAllowFrom": ["telegram:1002"]}}

    def make(self, number: int) -> str | None:
        """A session of several people; None: this one has none."""
        chat = self.world.chat
        if number == 0:
            key = "agent:main:main"
            chat.join(key, Address("telegram", "telegram:1001"), ALICE)
        elif number % 7 == 1:
            topic = number if self.rng.random() < 0.5 else None
            address = Address("telegram", f"telegram:-100{number}", thread_id=topic)
            key = key_of_chat(self.world, address)
            chat.join(key, address, ALICE)
        else:
            return None
        for person in EVERYBODY:
            chat.meet(key, person)
        self.shared.add(key)
        return key

    def who(self, key: str) -> Person | None:
        """Who speaks now; None: the usual one."""
        return self.rng.choice(EVERYBODY) if key in self.shared else None

    def is_typed_in_browser(self, key: str) -> bool:
        return key in self.shared and self.rng.random() < 0.15

    def goes_on(self, key: str) -> None:
        """Whatever becomes of the work meanwhile, somebody writes as well, or types ``/stop``."""
        if key not in self.shared:
            return
        for share, text in ((0.4, ""), (0.1, "/stop")):
            if self.rng.random() < share:
                seconds = self.rng.choice((self.rng.uniform(1, 60), self.rng.uniform(60, 3600)))
                self.world.agenda.outside(seconds, self._say, key, text, self.rng.choice(EVERYBODY))

    def _say(self, key: str, text: str, person: Person) -> None:
        if not self.are_gone:
            self.words += 1
            self.world.chat.person_writes(key, text or f"remark {self.words} for {key}", by=person)


class People:
    """The lives of all sessions of one world, until ``go_home``."""

    def __init__(self, world: World, rng: Random, habits: Habits, company: Company | None = None) -> None:
        self.company = company
        self.world = world
        self.rng = rng
        self.habits = habits
        self.turns = 0
        self._are_gone = False

    def populate(self, count: int) -> None:
        """``count`` sessions of all kinds."""
        for number in range(count):
            self._plan(self._make(number))

    def go_home(self) -> None:
        """Nobody starts anything new from now on."""
        self._are_gone = True
        if self.company is not None:
            self.company.are_gone = True

    def _make(self, number: int) -> str:
        world, kind = self.world, number % 7
        if self.company is not None and (shared := self.company.make(number)) is not None:
            return shared
        if number == 0 or kind == 0:
            key = "agent:main:main" if number == 0 else f"agent:main:irc:direct:p{number}"
            world.chat.join(key, Address("irc", f"irc:p{number}"))
        elif kind in (1, 2):
            key = f"agent:main:irc:group:#g{number}" if kind == 1 else f"agent:main:irc:direct:p{number}"
            world.chat.join(key, Address("irc", f"channel:#g{number}" if kind == 1 else f"irc:p{number}"))
        elif kind == 3:
            key = f"agent:main:thread-{number}"
            world.session(key, spawn_depth=number % 2)
        elif kind == 4:
            key = f"agent:main:cron:c{number}"
            world.session(key)
        else:
            key = f"agent:main:dashboard:d{number}"
            world.session(key)
        return key

    def _plan(self, key: str) -> None:
        self.world.agenda.outside(self.rng.expovariate(self.habits.turns_per_hour) * HOUR, self._speak, key)

    def _speak(self, key: str) -> None:
        if self._are_gone:
            return
        self._plan(key)
        world, rng = self.world, self.rng
        if world.process.phase is not Phase.UP or world.process.is_frozen:
            return
        self.turns += 1
        if rng.random() < self.habits.fresh and ":irc:" in key:
            world.chat.person_writes(key, "/new")
            return
        run_id = self._begin(key, self._turn(key))
        if run_id is None:
            return
        if rng.random() < self.habits.stops:
            world.agenda.outside(rng.choice((rng.uniform(1, 60), rng.uniform(60, 7200))), self._stop, key, run_id)
        if rng.random() < self.habits.second_words:
            world.agenda.outside(rng.choice((rng.uniform(1, 60), rng.uniform(60, 7200))), self._write_again, key)

    def _begin(self, key: str, turn: Turn | None) -> str | None:
        world = self.world
        text = f"request {self.turns} for {key}"
        session = world.sessions[key]
        if self.company is not None:
            self.company.goes_on(key)
            if self.company.is_typed_in_browser(key):
                return world.begin(key, text, turn, device_id="control-ui")
            if (who := self.company.who(key)) is not None:
                return world.chat.person_writes(key, text, turn, by=who)
        if session.address is not None and session.created_via == "channel":
            return world.chat.person_writes(key, text, turn)
        if session.kind is ConversationKind.CRON and self.rng.random() < 0.5:
            return world.begin(key, text, turn, origin=Origin.CRON, device_id=None)
        origin = Origin.AGENT if self.rng.random() < 0.2 else Origin.WEB
        return world.begin(key, text, turn, origin=origin, device_id="control-ui")

    def _write_again(self, key: str) -> None:
        if not self._are_gone and self.world.process.phase is Phase.UP and not self.world.process.is_frozen:
            self.turns += 1
            self._begin(key, None)

    def _stop(self, key: str, run_id: str) -> None:
        """Somebody presses Stop, if the run still lives and this version's Stop can find it."""
        world = self.world
        session = world.sessions[key]
        run = session.run
        if run is None or run.run_id != run_id or world.process.phase is not Phase.UP or world.process.is_frozen:
            return
        if run.is_tracked or session.created_via == "channel":
            world.endings.stop(session, run)

    def _turn(self, key: str) -> Turn:
        rng, world = self.rng, self.world
        kind = rng.choices([name for name, _ in _WEIGHTS], [weight for _, weight in _WEIGHTS])[0]
        match kind:
            case "streams" | "tools" | "long_tool":
                return turn_of(kind, rng)
            case "slow":
                return turns.answers(rng.uniform(120, 3600))
            case "silent":
                return turns.stays_silent()
            case "retries":
                attempts, seconds = rng.randint(2, 8), rng.uniform(2, 60)
                steps = (ActivityStep(Activity.RETRY, seconds),) * attempts
                return Turn((*steps, ActivityStep(Activity.SILENT, 3.0)))
            case "fails":
                return turn_of("retries", rng)
            case "approval":
                world.agenda.outside(rng.uniform(10, 9000), world.person_approves, key)
                return turns.waits_for_approval()
            case "question":
                world.agenda.outside(rng.uniform(10, 9000), world.person_answers, key)
                return turns.asks_question()
            case "compacts":
                return turns.compacts(rng.uniform(20, 900))
            case "children" if world.sessions[key].kind is not ConversationKind.SUBAGENT:
                work = rng.choice((turns.answers(rng.uniform(5, 3000)), turns.uses_tools(4, rng.uniform(5, 300))))
                return turns.spawns(((f"agent:main:subagent:of-{key.rpartition(':')[2]}", work),))
            case "empty":
                return Turn((ActivityStep(Activity.SILENT, 1.0),), answer="")
            case _:
                return turns.answers(rng.uniform(2, 60))
