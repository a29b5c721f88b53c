"""One release, from its install to its end: ``python -m tests.releases.trial VERSION FOLDER``. What was seen is written to
``FOLDER/seen.json`` after every step, so that a trial that is cut off still says how far it came. Without a folder it is
installed, and that is all.

A process of its own: whoever started it ends its group when it takes too long.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from tests.e2e.harness import healthy, runs
from tests.e2e.harness.conditions import LENIENCE, monotonic, stays, until
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.failures import HarnessError, InstallError, Refused
from tests.e2e.harness.healthy import Bystander
from tests.e2e.harness.install import Installation, cache_root, installed
from tests.e2e.harness.people import is_ours
from tests.e2e.harness.releases import Release
from tests.e2e.harness.routes import Route, TelegramDm, TelegramGroup, TelegramRoute, Web
from tests.e2e.harness.runs import Run, finished, in_model_call
from tests.e2e.harness.stores import agent_folder, database_path, lock_path
from tests.e2e.harness.stuck import CRON_KEY, by_lost_write
from tests.e2e.harness.telegram import ALICE, BOB, TEAM
from tests.e2e.harness.witness import READ, Row
from tests.e2e.harness.world import World
from tests.releases.observed import METHODS, Shapes, disagreements
from tests.releases.published import recipe

T = TypeVar("T")
INSTALL_WITHIN = 600.0
FIRST_TURN = 600.0
"""Seconds: 2026.4.20 to 4.29 fetch what their bundled plugins need by npm, at their start and in the first turn."""
WATCHED = 20.0
"""Seconds in which live runs are to be left alone; more than twice of what makes a session stuck (`daemon.QUICK`)."""
QUIET_AFTER = 12.0
SETTLED_WITHIN = 240.0
BEGUN_WITHIN = 45.0
"""For each thing that is seen of a run when it begins (three times that: `conditions.LENIENCE`). On some release one never is."""
AFRESH = TelegramGroup(TEAM, BOB)
CHAT = TelegramDm(ALICE)
POLICIES = {
    "policies": [
        {"name": "afresh", "match": {"key": AFRESH.key}, "recovery": {"ladder": ["new"], "verify_within": "60s"}}
    ]
}
FINAL_BLOCKERS = {
    "requester_unknown",
    "notify_only",
    "stopped_by_person",
    "transcript_unknown",
    "work_finished",
    "scope_missing",
}
"""What holds a deed until a person does something."""


@dataclass
class Trial:
    """One release, step by step; every step that fails is written down, and the next one is tried."""

    release: Release
    folder: Path
    seen: dict[str, Any] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=Shapes)
    _began: float = field(default_factory=monotonic)

    # ------------------------------------------------------------ the frame

    def run(self) -> None:
        self.seen |= {"fate": "running", "findings": [], "seconds": {}}
        with self.timed("install"):
            gateway = self.install()
        if gateway is None:
            return
        with self.timed("start"):
            world = self.start()
        if world is None:
            return
        with world, self.timed("run"):
            try:
                self.steps(world)
            finally:
                self.seen["findings"] += [*self.shapes.problems]
                self.seen["fields"] = {name: " or ".join(sorted(types)) for name, types in self.shapes.fields.items()}
                self.seen["statuses"] = sorted(self.shapes.statuses)
                self.seen["stop_reasons"] = sorted(self.shapes.stop_reasons)
                self.write()
        said = disagreements(self.release.version, self.seen.get("methods", ()), self.seen["facts"])
        self.seen["disagreements"] = said
        self.seen["fate"] = "tried"

    def say(self, text: str) -> None:
        print(f"[{self.release.version} {monotonic() - self._began:4.0f} s] {text}", file=sys.stderr, flush=True)

    def write(self) -> None:
        text = json.dumps(self.seen, indent=1)
        for place, name in ((self.folder, "FOLDER"), (cache_root(), "CACHE"), (Path.home(), "~")):
            text = text.replace(str(place), name)  # where this machine keeps its files is nobody's business
        fresh = self.folder / "seen.new"
        fresh.write_text(text)
        fresh.replace(self.folder / "seen.json")

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = monotonic()
        self.say(what)
        try:
            yield
        finally:
            self.seen["seconds"][what] = round(monotonic() - began)
            self.write()

    def finding(self, text: str) -> None:
        self.say(f"FINDING {text}")
        self.seen["findings"].append(text)

    def step(self, what: str, do: Callable[[], None]) -> None:
        """What fails is a finding, and says nothing of the steps after it."""
        self.say(what)
        try:
            do()
        except (HarnessError, subprocess.SubprocessError, OSError, ValueError, KeyError, sqlite3.Error) as problem:
            traceback.print_exc()
            self.finding(f"{what}: {type(problem).__name__}: {str(problem).splitlines()[0][:300]}")
        self.write()

    # ------------------------------------------------------------ there at all?

    def install(self) -> Installation | None:
        try:
            return _with_telegram(_with_npm(installed(self.release, tries=1, patience=INSTALL_WITHIN)))
        except InstallError as problem:
            self.seen |= {"fate": "not installed", "reason": _end_of_install(self.release.version, problem)}
            return None

    def start(self) -> World | None:
        problems = []
        for has_chat in (True, False):
            home = self.folder / f"gateway-{'chat' if has_chat else 'plain'}"
            write_npm_settings(home / "home")
            try:
                world = World(self.release, home, telegram=has_chat)
            except HarnessError as problem:
                problems.append(str(problem))
                self.say(f"not started: {problem}")
                continue
            self.seen["telegram"] = has_chat
            if problems:
                self.finding(f"with its Telegram channel it does not start here: {problems[0].splitlines()[0][:300]}")
            return world
        self.seen |= {"fate": "not started", "reason": problems[-1][-1500:]}
        return None

    # ------------------------------------------------------------ the steps

    def steps(self, world: World) -> None:
        facts = self.seen["facts"] = {}
        hello = world.witness.hello
        self.shapes.hello(hello)
        if hello["server"]["version"] != self.release.version:
            self.finding(f"it calls itself {hello['server']['version']}")
        self.seen["protocol"] = hello["protocol"]
        methods = hello["features"]["methods"]
        self.seen["methods"] = [name for name in METHODS if name in methods]

        first = Web("agent:main:first")
        finished(world, first, patience=FIRST_TURN)
        facts["store"] = store_of(world, first.key)
        self.release = replace(self.release, keeps_sessions_in_sqlite=facts["store"] == "sqlite")
        world.release = world.gateway.release = self.release
        facts["pages"] = "totalCount" in world.witness.call("sessions.list", {})

        watchdog = Watchdog(world.gateway, self.folder / "watchdog", extra=POLICIES if self.seen["telegram"] else None)
        self.step("sign-in", lambda: self.sign_in(world, watchdog))

        bystanders: list[Bystander] = []
        others: list[Run] = []
        self.step("live runs", lambda: self.begin(world, bystanders, others))
        self.step("facts", lambda: self.look(world, bystanders, others))
        with watchdog:
            self.step("left alone", lambda: self.left_alone(world, watchdog, bystanders))
            self.step("cut", lambda: self.cut(world, watchdog, bystanders, others))
            watchdog.stop()
        self.step("new by hand", lambda: self.new_by_hand(world, watchdog))
        if facts["store"] == "sqlite":
            self.step("lost write", lambda: self.lost_write(world, watchdog))
        self.sample(world)

    def sign_in(self, world: World, watchdog: Watchdog) -> None:
        """The watchdog's very first words with this gateway, as ``doctor`` says them."""
        lines = self.doctor(watchdog)
        wanted = [line["text"] for line in lines if line["grade"] == "FAIL"]
        self.seen["sign_in"] = {
            "approvals": 0,
            "fails": [_without_ids(text) for text in wanted],
            "warns": [_without_ids(line["text"]) for line in lines if line["grade"] == "WARN"],
            "signals": next((line["text"] for line in lines if line["text"].startswith("signals")), None),
        }
        for _ in range(4):
            commands = [
                match[1] for text in wanted if (match := re.search(r"`openclaw (devices approve [^`]+)`", text))
            ]
            if not commands:
                break
            world.gateway.openclaw(*commands[0].split())
            self.seen["sign_in"]["approvals"] += 1
            wanted = [line["text"] for line in self.doctor(watchdog) if line["grade"] == "FAIL"]
        if wanted:
            self.finding(f"doctor fails: {_without_ids(wanted[0])}")

    def doctor(self, watchdog: Watchdog) -> list[dict[str, str]]:
        findings: list[dict[str, str]] = watchdog.verb("doctor", "--json").json()["findings"]
        return [line for line in findings if line["subject"] not in ("package", "account", "service")]

    def begin(self, world: World, bystanders: list[Bystander], others: list[Run]) -> None:
        makers: list[Callable[[], Bystander]] = [
            lambda: healthy.slow_stream(world, Web("agent:main:streams")),
            lambda: healthy.silent_call(world, Web("agent:main:silent")),
            lambda: healthy.agent_rpc(world, "agent:main:program"),
            lambda: healthy.stopped_by_user(world, Web("agent:main:stopped")),
        ]
        if self.seen["telegram"]:
            makers.append(lambda: replace(healthy.slow_stream(world, CHAT), name="from a chat"))
        for number, make in enumerate(makers, 1):
            self.step(f"live run {number}", partial(_add, bystanders, make))
        # Where a chat's row does not show its run, the group's does not either, and is not waited for in vain.
        stranded: list[Route] = [Web(CRON_KEY), *(AFRESH for one in bystanders if one.key == CHAT.key)]
        for route in stranded:
            self.step(f"live run of {route.key}", partial(_add, others, partial(in_model_call, world, route)))
        self.sample(world)

    def look(self, world: World, bystanders: list[Bystander], others: list[Run]) -> None:
        """The facts that can be seen while runs are live."""
        facts = self.seen["facts"]
        now = {row["key"]: row for row in world.witness.rows()}
        live = [one for one in bystanders if one.lives]
        facts["flags"] = {one.name: now[one.key].get("hasActiveRun") for one in live}
        if CHAT.key in now and not any(one.key == CHAT.key for one in live):
            facts["chat_row"] = f"{now[CHAT.key].get('status')}, hasActiveRun {now[CHAT.key].get('hasActiveRun')}"
        facts["stop_leaves_running"] = next(
            (now[one.key].get("status") == "running" for one in bystanders if not one.lives), None
        )
        if facts["store"] == "files":
            facts["locks_whole_run"] = all(
                lock_path(world.gateway, one.run.session_id, one.key).exists() for one in live for _ in range(3)
            )
        with world.gateway.witness(scopes=READ) as reader:
            try:
                reader.call("gateway.restart.preflight")
                facts["preflight"] = True
            except Refused as refusal:
                facts["preflight"] = False
                self.say(str(refusal))
        from_people = [run for run in (*(one.run for one in live), *others) if isinstance(run.route, TelegramRoute)]
        if from_people:
            facts["wraps_words"] = any(is_wrapped(world.witness.history(run.key)) for run in from_people)

    def left_alone(self, world: World, watchdog: Watchdog, bystanders: list[Bystander]) -> None:
        watchdog.wait_for("gateway.connected")
        said = self.seen["live"] = {one.name: "left alone" for one in bystanders}
        limit = monotonic() + WATCHED
        while monotonic() < limit and len(bystanders) > 0:
            stays("nobody is asked", lambda: True, for_seconds=2)
            for one in bystanders:
                with contextlib.suppress(HarnessError):  # a busy gateway answers later
                    if changed := one.disturbances(world):
                        said[one.name] = changed[0]
        for one in bystanders:
            for event in ("session.stuck", "recovery.started"):
                if watchdog.events(event, session=one.key):
                    said[one.name] = event
                    if event == "recovery.started" or one.lives:
                        self.finding(f"{one.name}: {event} while it was to be left alone")
            if said[one.name] not in ("left alone", "session.stuck"):
                self.finding(f"{one.name} was not left alone: {said[one.name]}")

    def cut(self, world: World, watchdog: Watchdog, bystanders: list[Bystander], others: list[Run]) -> None:
        """kill -9, and what becomes of each run."""
        names = {one.key: one.name for one in bystanders} | {CRON_KEY: "cron", AFRESH.key: "spawned chat"}
        runs = [*(one.run for one in bystanders), *others]
        address = world.row(AFRESH.key).get("deliveryContext")
        said = len(world.telegram.said) if self.seen["telegram"] else 0
        calls = len(world.provider.calls)
        world.kill()
        for run in runs:
            world.provider.forget(run.marker)
        for run in others:
            if run.key == AFRESH.key:
                mark_spawned(world, run.key)
        world.start()
        stopped = [one.run for one in bystanders if not one.lives]
        waiting = [run for run in runs if run not in stopped]
        with contextlib.suppress(HarnessError):  # what is not settled by then is said of each run
            until(
                "the runs are settled",
                lambda: all(self.is_settled(world, watchdog, run) for run in waiting),
                within=SETTLED_WITHIN / LENIENCE,
                every=2,
            )
        stays("nothing more is done", lambda: True, for_seconds=QUIET_AFTER)
        self.sample(world)
        after = world.provider.calls[calls:]
        found = self.seen["cut"] = {}
        for run in runs:
            row = until(f"what becomes of {run.key}", partial(_row, world, run.key), within=30)[0]
            again = [call for call in after if call.shows(run.marker)]
            deeds = watchdog.events("recovery.started", session=run.key)
            held = watchdog.events("recovery.held", session=run.key)
            one = found[names[run.key]] = {
                "status": row.get("status"),
                "deeds": [deed["step"] for deed in deeds],
                "succeeded": len(watchdog.events("recovery.succeeded", session=run.key)),
                "asked_again": len([call for call in again if not is_ours(call)]),
                "asked_by_us": len([call for call in again if is_ours(call)]),
                "blockers": sorted({name for line in held for name in line["blockers"]}),
                "told_unanswered": bool(watchdog.events("session.unanswered", session=run.key)),
                "answered": any(call.answer is not None for call in again),
            }
            if isinstance(run.route, TelegramRoute):
                place = run.route.place
                answers = [str(call.answer) for call in again if call.answer is not None]
                one["heard"] = sum(
                    1 for message in world.telegram.heard(place, after=said) if any(message.shows(a) for a in answers)
                )
            one["by"] = by_whom(one)
            if len(deeds) > 1 or (deeds and one["asked_again"] and run.key != AFRESH.key):
                self.finding(
                    f"{names[run.key]}: {len(deeds)} deeds, asked again {one['asked_again']} times by the gateway"
                )
            if run in stopped and (again or deeds):
                self.finding(f"the stopped run: {len(again)} model calls and {len(deeds)} deeds after the restart")
            if one["by"] == "nobody" and run not in stopped and run.key != CRON_KEY:
                self.finding(f"{names[run.key]}: not settled, row {row.get('status')}, held by {one['blockers']}")
        # Before a fresh session some releases ask their model for a title of the old one (2026.4.2), words of it included.
        self.seen["facts"]["resumes_at_boot"] = any(
            one["asked_again"] and "new" not in one["deeds"] for one in found.values()
        )
        if afresh := found.get("spawned chat"):
            now = world.row(AFRESH.key)
            afresh["address_kept"] = place_of(now.get("deliveryContext")) == place_of(address)
            if "new" in afresh["deeds"] and not (afresh["succeeded"] and afresh["address_kept"]):
                self.finding(f"`new` in a chat: succeeded {afresh['succeeded']}, address {now.get('deliveryContext')}")
            if afresh["by"] == "reported":
                self.finding(f"`new` in a chat: held by {', '.join(afresh['blockers'])}")

    def is_settled(self, world: World, watchdog: Watchdog, run: Run) -> bool:
        try:
            row = world.row(run.key)
        except HarnessError:
            return False
        if watchdog.events("recovery.started", session=run.key):
            ends = ("recovery.succeeded", "recovery.ineffective", "recovery.refused")
            return any(watchdog.events(event, session=run.key) for event in ends)
        held = watchdog.events("recovery.held", session=run.key)
        if held and FINAL_BLOCKERS & set(held[-1]["blockers"]):
            return True
        is_over = row.get("status") not in ("running", "queued") or bool(row.get("endedAt"))
        return is_over and not row.get("hasActiveRun")

    def new_by_hand(self, world: World, watchdog: Watchdog) -> None:
        """A cron key is no gateway's to resume, and the default policy only tells of it: it lasts. A fresh session clears
        it."""
        before = world.row(CRON_KEY)
        one: dict[str, Any] = {"status_before": before.get("status")}
        self.seen["new_by_hand"] = one
        done = watchdog.verb("recover", CRON_KEY, "--step", "new", "--yes", "--json")
        answer = done.json()
        now = world.row(CRON_KEY)
        one |= {
            "recovered": answer["recovered"],
            "reason": _without_ids(str(answer["reason"])),
            "cleared": now.get("status") != "running",
            "fresh_id": now.get("sessionId") != before.get("sessionId"),
        }
        if not (one["recovered"] and one["cleared"]):
            self.finding(f"`recover --step new` on a {before.get('status')} cron row: {one['reason']}")
        self.sample(world)

    def lost_write(self, world: World, watchdog: Watchdog) -> None:
        lost = by_lost_write(world, Web("agent:main:lost"))
        calls = len(world.provider.calls)
        known = len(watchdog.events("recovery.started", session=lost.key))
        with watchdog:
            until(
                "the lost write is settled", lambda: watchdog.events("recovery.succeeded", session=lost.key), within=50
            )
            world.witness.listen(QUIET_AFTER)
            watchdog.stop()
        deeds = watchdog.events("recovery.started", session=lost.key)[known:]
        ours = [call for call in world.provider.calls[calls:] if is_ours(call) and call.shows(lost.marker)]
        self.seen["lost_write"] = {"deeds": [deed["step"] for deed in deeds], "asked_by_us": len(ours)}
        if len(deeds) != 1 or len(ours) != 1:
            self.finding(f"a lost write: {len(deeds)} deeds, asked again {len(ours)} times")

    def sample(self, world: World) -> None:
        """Look at the shapes of everything that is there."""
        try:
            listed = world.witness.call(
                "sessions.list", {"limit": 10_000, "includeGlobal": True, "includeUnknown": True}
            )
            self.shapes.rows(listed)
            for row in listed["sessions"]:
                self.shapes.history(world.witness.call("chat.history", {"sessionKey": row["key"], "limit": 200}))
        except HarnessError as problem:
            self.finding(f"looking at the shapes: {problem}")


# ------------------------------------------------------------ small things


def _add(to: list[T], make: Callable[[], T]) -> None:
    to.append(make())


def _row(world: World, key: str) -> list[Row]:
    """In a list, which is true even where there is no such row."""
    return [world.row(key)]


def by_whom(one: dict[str, Any]) -> str:
    """Who settled a run that was cut, in a word."""
    if one["deeds"]:
        return "us" if one["succeeded"] else "us, in vain"
    if one["asked_again"]:
        return "the gateway"
    if one["blockers"] and FINAL_BLOCKERS & set(one["blockers"]):
        return "reported"
    if one["told_unanswered"]:
        return "told as unanswered"
    return "nobody"


def is_wrapped(messages: list[dict[str, Any]]) -> bool:
    """Whether something stands before the last words of a person."""
    asked = [each["content"] for each in messages if each.get("role") == "user"]
    words = asked[-1] if asked else ""
    text = words if isinstance(words, str) else " ".join(str(part.get("text", "")) for part in words)
    return bool(text.strip()) and not text.strip().startswith("Please list")


def place_of(address: Row | None) -> tuple[object, ...]:
    found = address or {}
    to = str(found.get("to")).removeprefix("channel:").removeprefix("telegram:").removeprefix("group:")
    return found.get("channel"), found.get("accountId"), to


def store_of(world: World, key: str) -> str:
    """``files``, ``sqlite``, or what else there is."""
    path = agent_folder(world.gateway, key) / "sessions" / "sessions.json"
    database = database_path(world.gateway, key)
    if database.exists():
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=5)) as store:
            tables = {str(name) for (name,) in store.execute("select name from sqlite_master where type = 'table'")}
        if "session_nodes" in tables:
            return "sqlite"
        if not path.exists():
            return f"sqlite with {', '.join(sorted(name for name in tables if 'session' in name))}"
    if path.exists() and key in json.loads(path.read_text()):
        return "files"
    return "unknown"


def mark_spawned(world: World, key: str) -> None:
    """The gateway, which must not run, takes such a session for a spawned one, and leaves it as it is at its start."""
    gateway = world.gateway
    if not gateway.release.keeps_sessions_in_sqlite:
        path = agent_folder(gateway, key) / "sessions" / "sessions.json"
        entries = json.loads(path.read_text())
        entries[key]["spawnDepth"] = 1
        path.write_text(json.dumps(entries, indent=2))
        return
    with contextlib.closing(sqlite3.connect(database_path(gateway, key), timeout=10, isolation_level=None)) as store:
        store.execute("begin immediate")
        (stored,) = store.execute("select entry_json from session_nodes where session_key = ?", (key,)).fetchone()
        entry = json.dumps({**json.loads(stored), "spawnDepth": 1})
        store.execute("update session_nodes set entry_json = ? where session_key = ?", (entry, key))
        store.execute(
            "update session_nodes set entry_valid = 1 where session_key = ?", (key,)
        )  # a trigger had cleared it
        store.execute("commit")


def write_npm_settings(home: Path) -> None:
    """Some releases have npm fetch their bundled plugins at the first start (2026.4.20 to 4.26 at least), from a home that
    is new: it is told what the caller's npm knows of proxies and certificates."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [f"cache={cache_root() / 'npm'}", "prefer-offline=true", "fund=false", "audit=false"]
    for name in ("registry", "cafile", "proxy", "https-proxy", "noproxy"):
        asked = subprocess.run(["npm", "config", "get", name], capture_output=True, text=True, timeout=60)
        value = asked.stdout.strip()
        if value and value not in ("null", "undefined"):
            lines.append(f"{name}={value}")
    (home / ".npmrc").write_text("\n".join(lines) + "\n")


def _with_telegram(gateway: Installation) -> Installation:
    """2026.3.31 to 4.8 have npm put the libraries of all their bundled plugins beside the program after the install, and one
    of these comes from git: where there is no git host, none is put there. Telegram's are linked from where they are."""
    program = gateway.script.parent
    kept = program / "dist" / "extensions" / "telegram" / "node_modules"
    for found in (*kept.glob("[!@.]*"), *kept.glob("@*/*")):
        place = program.parent / found.relative_to(kept)
        if not place.exists() and not (program / "node_modules" / found.relative_to(kept)).exists():
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(found)
    return gateway


def _with_npm(gateway: Installation) -> Installation:
    """2026.4.29 has npm fetch what its bundled plugins need, and takes only an npm that lies beside its Node; a Node that came
    from npm has none there."""
    npm, place = shutil.which("npm"), gateway.node.with_name("npm")
    if npm is not None and not place.exists():
        place.symlink_to(Path(npm).resolve())
    return gateway


def _end_of_install(version: str, problem: InstallError) -> str:
    log = cache_root() / "versions" / f"{version}.install.log"
    said = log.read_text(errors="replace") if log.exists() else ""
    errors = [line for line in said.splitlines() if "error" in line.lower() and "log" not in line]
    return " ".join(errors[-4:])[:500] or str(problem)


def _without_ids(text: str) -> str:
    """Random ids say nothing in a record that is kept."""
    return re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32,}\b", "ID", text)


def main(arguments: list[str]) -> int:
    version, *folders = arguments
    if not folders:
        installed(recipe(version), tries=1, patience=INSTALL_WITHIN)
        return 0

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    runs.PATIENCE = BEGUN_WITHIN
    trial = Trial(recipe(version), Path(folders[0]))
    trial.run()
    trial.write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
