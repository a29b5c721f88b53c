"""Every verb and the daemon at debug level, with marked secrets, against a simulated gateway: no mark comes out.

Looked at: stdout and stderr of every process, the command lines of the daemon and its children, every file it keeps (the
ledger with its write-ahead log, as bytes; in a database every table, and the server's log), what a webhook receives, the status
page with its metrics. Allowed to hold them: the configuration itself, the device keys and tokens, and for the words of a person the
handoff notes; all 0600, or in a table of their own.

Verbs are taken from typer, so a new one is looked at without being named here; one that needs an argument nobody here
can guess makes the test fail until ``ARGUMENTS`` has it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import psycopg
import pytest
import typer

from openclaw_simulator.handshake import AccessRules
from tests.fakes.loopback import Listener, listening
from tests.fakes.stuck_gateway import NotingGateway, stuck_world
from tests.postgresql import Server
from tests.unit.crash.lives import WITHIN, Launcher, Record, launching, until
from watchdog.cli.app import app

pytestmark = pytest.mark.timeout(400)

VERSION = "2026.3.24"
"""Hides nothing that it is told; issues device tokens to client ``cli`` alone, as which nobody signs in here."""
MAIN, FRESH, TOLD = "agent:main:main", "agent:main:irc:direct:alice", "agent:main:irc:direct:bob"

MARKS = {
    "gateway token": "m4rk-gateway-token-0f9d2c7be1",
    "rotated token": "m4rk-rotated-token-77a1c03e55",
    "discovered token": "m4rk-token-in-openclaw-json-c8e1",
    "password file": "m4rk-password-in-file-52e8aa90",
    "words of a person": "m4rk-words-of-a-person-c41b",
    "answer": "m4rk-words-of-the-model-9d20",
    "webhook password": "m4rk-webhook-password-31fa",
    "webhook path": "m4rk-webhook-path-8Ab3f0c2d9",
    "webhook query": "m4rk-webhook-query-7711dd",
    "apprise password": "m4rk-apprise-password-e03b",
    "unreachable target": "m4rk-unreachable-5c90aa1",
    "heartbeat": "m4rk-heartbeat-6Be21f08a7",
    "misplaced token": "m4rk-misplaced-token-a90d3",
    "url password": "m4rk-url-password-4fe01b",
}

CONFIG = """
gateways:
  - {{name: home, url: "{url}", token: "{token}", state_dir: "{folder}/openclaw"}}
  - {{name: locked, url: "{url}/locked", password_file: "{folder}/password", state_dir: none}}
poll_every: 200ms
thresholds: {{stuck_after: 700ms, confirm_for: 300ms, long_running_after: 30m, startup_grace: 300ms}}
recovery: {{verify_within: 20s, backoff: [200ms]}}
policies:
  - {{name: fresh, match: {{key: "{fresh}"}}, recovery: {{ladder: [new]}}}}
  - {{name: told, match: {{key: "{told}"}}, recovery: {{ladder: [notify]}}}}
notify:
  - "${{WEBHOOK}}"
  - "json://someone:{apprise}@127.0.0.1:{port}/apprise"
  - "json+http://127.0.0.1:1/{unreachable}"
heartbeat_url: "${{HEARTBEAT}}"
status_page: {{listen: "127.0.0.1:0"}}
state_dir: "{folder}/state"
ledger: {ledger}
log: {{format: json, level: debug}}
allow_short_thresholds: true
"""

BROKEN = """
gateways:
  - {{name: home, url: "ws://user:{url_password}@127.0.0.1:1", tokn: "{misplaced}"}}
  - {{name: other, url: "ws://127.0.0.1:1", token: ["{misplaced}"]}}
notify: [{{ur: "json+http://127.0.0.1/{misplaced}"}}, "not a url {misplaced}"]
heartbeat_url: "{misplaced}"
"""

ARGUMENTS: Mapping[tuple[str, ...], list[list[str]]] = {
    ("recover",): [[MAIN, "--step", "resume", "--yes"], [TOLD, "--step", "new", "--yes"]],
    ("pause",): [["--for", "1s", "--session", "agent:main:nobody", "--reason", "a test"]],
    ("init",): [["--print"], ["--output", "{folder}/init/watchdog.yaml"]],
    ("top",): [["--once"]],
    ("ack",): [[TOLD, "--for", "1s", "--reason", "a test"]],
    ("service", "install"): [["--print"]],
    ("release",): [[TOLD], ["--lost-history"]],
    ("run",): [[]],  # beside the daemon, so it is refused with the other's pid
}
"""Arguments of verbs that would otherwise wait for a person, go on for ever, or change this machine."""
LEFT_OUT = {
    ("demo",): "speaks to a simulated gateway of its own and reads no configuration",
    ("service", "uninstall"): "would stop the service of whoever runs the tests; it prints paths only",
}
GUESSES = {"key": TOLD, "file": "{folder}/state/recordings/home.jsonl"}


def verbs() -> Iterator[tuple[str, ...]]:
    """Every command path that typer knows."""

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        children: Mapping[str, Any] = getattr(command, "commands", {})
        if not children:
            yield path
        for name, child in children.items():
            yield from below(child, (*path, name))

    yield from below(typer.main.get_command(app), ())


def calls(path: tuple[str, ...]) -> list[list[str]]:
    """How to call a verb: plainly, and with ``--json`` where it has that."""
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    options = {option for param in command.params for option in param.opts}
    variants = ARGUMENTS.get(path)
    if variants is None:
        needed = [param.name for param in command.params if param.required]
        unknown = [name for name in needed if name not in GUESSES]
        assert not unknown, (
            f"`{' '.join(path)}` needs {unknown}: say how to call it in ARGUMENTS, or why not in LEFT_OUT"
        )
        variants = [[GUESSES[name] for name in needed]]
    config = ["--config", "{folder}/watchdog.yaml"] if "--config" in options else []
    found = [[*path, *variant, *config] for variant in variants]
    return [*found, *([*call, "--json"] for call in found if "--json" in options)]


class House:
    """One simulated gateway, one configuration full of secrets, and everything that came out."""

    def __init__(self, folder: Path, launcher: Launcher, listener: Listener, server: Server | None) -> None:
        """``server``: has the ledger in a database; None: it is a file."""
        self.folder = folder
        self.server = server
        self.database = server.database() if server is not None else None
        self.launcher = launcher
        self.listener = listener
        self.access = AccessRules(token=MARKS["gateway token"])
        words = dict.fromkeys((MAIN, FRESH, TOLD), f"please look into {MARKS['words of a person']} for me")
        world = stuck_world(VERSION, words, f"done: {MARKS['answer']}")
        self.gateway = NotingGateway(world, folder / "openclaw", access=self.access)
        self.outputs: dict[str, bytes] = {}

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def environ(self) -> dict[str, str]:
        place = f"127.0.0.1:{self.listener.port}"
        user = f"someone:{quote(MARKS['webhook password'])}"
        return {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "WEBHOOK": f"json+http://{user}@{place}/{MARKS['webhook path']}?token={MARKS['webhook query']}",
            "HEARTBEAT": f"http://{place}/ping/{MARKS['heartbeat']}",
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }

    def furnish(self) -> None:
        texts = {
            "password": MARKS["password file"],
            "watchdog.yaml": CONFIG.format(
                url=self.gateway.url,
                token=MARKS["gateway token"],
                folder=self.folder,
                ledger=self.database or "null",
                fresh=FRESH,
                told=TOLD,
                port=self.listener.port,
                apprise=MARKS["apprise password"],
                unreachable=MARKS["unreachable target"],
            ),
            ".openclaw/openclaw.json": json.dumps(
                {"gateway": {"port": self.gateway.port, "auth": {"mode": "token", "token": MARKS["discovered token"]}}}
            ),
            "broken.yaml": BROKEN.format(misplaced=MARKS["misplaced token"], url_password=MARKS["url password"]),
        }
        (self.folder / ".openclaw").mkdir()
        for name, text in texts.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600)

    async def verb(self, call: list[str], note: str = "") -> int:
        """Run to its end; what it said is kept."""
        argv = [word.replace("{folder}", str(self.folder)) for word in call]
        name = re.sub(r"[^\w-]+", "_", " ".join([*call, note]))
        log = self.folder / "said" / name
        log.parent.mkdir(exist_ok=True)
        effects = self.folder / "effects"
        life = await self.launcher.start(argv, environ=self.environ, log=log, effects=effects, cut=None)
        code = await asyncio.wait_for(asyncio.shield(life.code), WITHIN)
        self.outputs[f"output of {' '.join(call)} {note}"] = log.read_bytes()
        return code

    # ------------------------------------------------------------ what is secret, and where it may not be

    def secrets(self) -> dict[str, bytes]:
        found = {name: mark.encode() for name, mark in MARKS.items()}
        for file in ("device.pem", "probe-device.pem"):
            lines = (self.state / file).read_text().splitlines()
            key = "".join(line for line in lines if "-----" not in line)
            found |= {file: key.encode()[-40:], f"{file}, raw": base64.b64decode(key)[-32:]}
        found |= {f"device token {number}": token.encode() for number, token in enumerate(self.access.device_tokens)}
        for name, secret in list(found.items()):
            found[f"{name}, in base64"] = base64.b64encode(secret).rstrip(b"=")[:-1]
        return found

    def leaks(self, places: Mapping[str, bytes]) -> list[str]:
        secrets = self.secrets()
        return [
            f"{name} in {place}"
            for place, content in places.items()
            for name, secret in secrets.items()
            if secret in content
        ]

    def files(self) -> dict[str, bytes]:
        """What the daemon keeps and `init` wrote, but for what is there to hold secrets."""
        allowed = {"device.pem", "probe-device.pem"}
        return {
            f"file {path.relative_to(self.folder)}": path.read_bytes()
            for path in (*self.state.rglob("*"), *(self.folder / "init").rglob("*"))
            if path.is_file() and path.name not in allowed and path.parent.name not in ("handoff", "device-tokens")
        }

    def tables(self) -> dict[str, bytes]:
        """What the database has beside the notes, and what its server wrote down of all statements."""
        if self.server is None or self.database is None:
            return {}
        with psycopg.connect(self.database, options="-c search_path=openclaw_watchdog") as db:
            names = [
                row[0] for row in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'openclaw_watchdog'")
            ]
            found = {
                f"table {name}": repr(db.execute(f"SELECT * FROM {name}".encode()).fetchall()).encode()
                for name in names
                if name != "note_texts"
            }
        return {**found, "log of the server": (self.server.folder / "log").read_bytes()}

    def notes(self) -> list[str]:
        """The words that were saved."""
        if self.database is None:
            return [note.read_text() for note in (self.state / "handoff").iterdir()]
        with psycopg.connect(self.database) as db:
            return [row[0] for row in db.execute("SELECT words FROM openclaw_watchdog.note_texts")]

    def notifications(self) -> dict[str, bytes]:
        return {f"notification {number}": body for number, (_, body) in enumerate(self.listener.requests)}


@asynccontextmanager
async def daemon(house: House, *options: str) -> AsyncIterator[psutil.Process]:
    """``python -m watchdog run``, exactly as it is started by hand; its output is kept."""
    log = house.folder / f"daemon{'-'.join(options)}.log"
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "watchdog", "run", "--config", str(house.folder / "watchdog.yaml"), *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=stream, stderr=stream, env=house.environ, cwd=house.folder,
        )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WITHIN) == 0, log.read_text()[-4000:]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        house.outputs[f"output of the daemon {options}"] = log.read_bytes()


def recovered(house: House) -> bool:
    """Both recoverable sessions are, the third is told of, and the note of the fresh one is kept."""
    record = Record.of(house.database or house.state / "ledger.sqlite")
    outcomes = {incident["session"]: incident["outcome"] for incident in record.incidents}
    told = house.listener.told()
    return (
        outcomes == {MAIN: "recovered", FRESH: "recovered", TOLD: "open"}
        and {message["dedupe_key"] for message in record.messages} <= told
    )


def command_lines(process: psutil.Process) -> dict[str, bytes]:
    """``/proc/<pid>/cmdline`` (or what this system has instead) of a process and its children.

    A child that ends between the two looks (a message that has just gone out) has no command line any more.
    """
    seen = {f"command line of {process.pid}": "\0".join(process.cmdline()).encode()}
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            seen[f"command line of {child.pid}"] = "\0".join(child.cmdline()).encode()
    return seen


async def pages(house: House) -> dict[str, bytes]:
    url = (house.state / "status-page.url").read_text().strip()
    async with httpx.AsyncClient(trust_env=False) as client:
        return {
            f"page {path}": (await client.get(f"{url}{path}")).content
            for path in ("", "api/state", "metrics", "healthz")
        }


def modes(paths: Iterable[Path]) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in paths}


async def run_all(house: House) -> None:
    room = asyncio.Semaphore(4)

    async def one(call: list[str]) -> None:
        async with room:
            await house.verb(call)

    async with asyncio.TaskGroup() as group:
        for path in verbs():
            if path not in LEFT_OUT:
                for call in calls(path):
                    group.create_task(one(call))


@pytest.mark.parametrize("kept", ["file", "postgresql"])
async def test_no_marked_secret_comes_out_anywhere(kept: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server: Server | None = request.getfixturevalue("server") if kept == "postgresql" else None
    async with launching() as launcher, listening() as listener:
        listener.answers_get = "500 Internal Server Error"  # a failed heartbeat is told, and its address is not
        house = House(tmp_path, launcher, listener, server)
        async with house.gateway:
            house.furnish()
            async with daemon(house) as process:
                await until("the daemon recovers what it may", lambda: recovered(house), lambda: _tail(tmp_path))
                seen = {**command_lines(process), **await pages(house), **house.files()}
                await run_all(house)
                seen |= {f"{place}, after the verbs": content for place, content in (await pages(house)).items()}
                seen |= {f"{place}, after the verbs": content for place, content in house.files().items()}
            async with daemon(house, "--log-format", "console") as process:
                before = house.gateway.looks()
                await until("the daemon looks again", lambda: house.gateway.looks() > before + 2)
                await _locked_out(house)
            seen |= {f"{place}, in the end": content for place, content in house.files().items()} | house.tables()
            assert await house.verb(["config", "check", "--config", "{folder}/broken.yaml"]) == 78
        places = {**seen, **house.outputs, **house.notifications()}
        assert house.leaks(places) == []
        _check_that_there_was_something_to_find(house, places)


async def _locked_out(house: House) -> None:
    """The token is rotated behind the daemon's back: everybody who tries the old one says so, without naming it."""
    house.access.token = MARKS["rotated token"]
    house.gateway.world.process.restart_in_process()
    house.gateway.wake()
    log = house.folder / "daemon--log-format-console.log"
    await until(
        "the daemon is locked out", lambda: "home: sign-in refused" in log.read_text(), lambda: _tail(house.folder)
    )
    for verb in ("check", "doctor"):
        assert await house.verb([verb, "--config", "{folder}/watchdog.yaml"], "locked out")


def _check_that_there_was_something_to_find(house: House, places: Mapping[str, bytes]) -> None:
    """The secrets were in use, and every place was really looked at; else finding nothing would mean nothing."""
    keys = [house.state / "device.pem", house.state / "probe-device.pem"]
    assert set(modes(keys).values()) == {"0o600"}
    assert any(MARKS["words of a person"] in note for note in house.notes())
    if house.database is None:
        notes = house.state / "handoff"
        assert set(modes([*notes.iterdir(), house.state / "ledger.sqlite"]).values()) == {"0o600"}
        assert set(modes([notes]).values()) == {"0o700"}
        assert any(place.startswith("file state/ledger.sqlite-wal") and content for place, content in places.items())
    else:
        assert not (house.state / "handoff").exists()
        assert b"agent:main" in places["table incidents"]
    recordings = [house.state / "recordings" / f"{name}.jsonl" for name in ("home", "locked")]
    assert set(modes(recordings).values()) == {"0o600"}
    assert b'"tail"' in places["file state/recordings/home.jsonl, in the end"]
    folders = [house.state, recordings[0].parent]
    assert set(modes(folders).values()) == {"0o700"}
    heads = "".join(head for head, _ in house.listener.requests)
    assert house.leaks({"the heads of requests": heads.encode()})
    assert MARKS["webhook path"] in heads
    assert MARKS["heartbeat"] in heads
    assert "/apprise" in heads
    assert b"openclaw_watchdog_attempts_total" in places["page metrics"]
    silent = [place for place, content in places.items() if place.startswith("output") and not content.strip()]
    assert silent == []


def _tail(folder: Path) -> str:
    return "\n".join(path.read_text()[-5000:] for path in folder.glob("daemon*.log"))


def test_every_verb_is_called_or_left_out_for_a_reason() -> None:
    known = set(verbs())
    assert set(ARGUMENTS) | set(LEFT_OUT) <= known
    assert {("check",), ("config", "show"), ("notify", "test"), ("run",)} <= known
    assert all(calls(path) for path in known - set(LEFT_OUT))
