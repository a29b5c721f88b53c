"""What lists stand for while they change, fail and lie: real files, a real HTTP server, and a clock set by hand."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fakes.clock import ManualClock
from tests.unit.discovery.support import FakeAccounts
from watchdog.config import GatewaySection, LoadedConfig, parse
from watchdog.config.targets import ListedGateway
from watchdog.discovery import target_lists
from watchdog.discovery.target_lists import TargetLists
from watchdog.service.events import Event, MemoryLog


def listing(*names: str) -> str:
    return json.dumps([{"targets": [f"{name}.example:1"], "labels": {"name": name}} for name in names])


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "gateways.d"
        self.folder.mkdir(mode=0o755)
        self.clock, self.log = ManualClock(), MemoryLog()
        self.accounts = FakeAccounts()
        self.env: dict[str, str] = {}
        self.lists = TargetLists(self.env, self.accounts, self.clock, self.log)
        self.text = f"gateways: [{{discover: {{file: '{self.folder}/*.json'}}}}]"

    def write(self, text: str, name: str = "a.json") -> Path:
        file = self.folder / name
        file.write_text(text)
        return file

    def loaded(self, text: str | None = None, *, taken: tuple[str, ...] = ()) -> LoadedConfig:
        """One look, when the lists are due."""
        self.clock.advance(60)
        return self.lists.spelled_out(parse(text or self.text, file="w.yaml", env={}), taken)

    def sections(self, text: str | None = None) -> tuple[GatewaySection, ...]:
        return self.loaded(text).config.gateways

    def names(self, text: str | None = None, *, taken: tuple[str, ...] = ()) -> list[str]:
        return [section.name for section in self.loaded(text, taken=taken).config.gateways]

    @property
    def said(self) -> list[str]:
        return [str(line["reason"]) for line in self.log.of(Event.CONFIG_REFUSED)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_a_list_nothing_is_spelled_out(desk: Desk) -> None:
    for text in ("", "gateways: [{discover: local}]", "gateways: [{url: 'ws://127.0.0.1:9'}]"):
        loaded = parse(text, env={})
        assert desk.lists.spelled_out(loaded) is loaded


def test_it_follows_files_as_they_change(desk: Desk) -> None:
    desk.write(listing("a", "b"))
    desk.write(listing("c"), "b.json")
    desk.write(listing("d"), ".hidden.json")
    desk.write(listing("e"), "c.json~")
    first = desk.sections()
    assert [section.name for section in first] == ["a", "b", "c"]
    assert all(isinstance(section, ListedGateway) for section in first)
    desk.write(listing("b", "z"))
    again = desk.sections()
    assert [section.name for section in again] == ["b", "z", "c"]
    assert (again[0], again[2]) == (first[1], first[2]), "nothing has changed for the others"
    assert desk.said == []


def test_labels_of_others_change_nothing(desk: Desk) -> None:
    desk.write(json.dumps([{"targets": ["a:1"], "labels": {"name": "a", "deployed": "today"}}]))
    before = desk.sections()
    desk.write(json.dumps([{"targets": ["a:1"], "labels": {"name": "a", "deployed": "now"}}]))
    assert desk.sections() == before


def test_it_is_read_when_it_is_due(desk: Desk) -> None:
    desk.write(listing("a"))
    loaded = parse(desk.text, env={})
    assert len(desk.lists.spelled_out(loaded).config.gateways) == 1
    desk.write(listing("a", "b"))
    desk.clock.advance(59)
    assert len(desk.lists.spelled_out(loaded).config.gateways) == 1
    desk.clock.advance(1)
    assert len(desk.lists.spelled_out(loaded).config.gateways) == 2


# ---------------------------------------------------------------- what cannot be read lets go of nobody


def test_a_broken_list_keeps_what_it_named_and_is_said_once(desk: Desk) -> None:
    desk.write(listing("a", "b"))
    desk.write(listing("c"), "b.json")
    assert desk.names() == ["a", "b", "c"]
    desk.write(listing("a", "b")[:-9])
    desk.write(listing("c", "d"), "b.json")
    assert [desk.names() for _ in range(3)] == [["a", "b", "c", "d"]] * 3, "and the other file is followed"
    (said,) = desk.said
    assert said.startswith("w.yaml:1:23: not all of this list is used: ")
    assert "a.json is no list of targets" in said
    assert desk.lists.problems == [said]
    desk.write(listing("a"))
    assert desk.names() == ["a", "c", "d"]
    assert desk.lists.problems == []
    desk.write("")
    assert desk.names() == ["a", "c", "d"]
    assert len(desk.said) == 2, "it was whole in between"


def test_an_empty_list_has_to_say_so_twice(desk: Desk) -> None:
    desk.write(listing("a"))
    assert desk.names() == ["a"]
    desk.write("[]")
    assert desk.names() == ["a"]
    assert "names no gateway; if it does not next time" in desk.said[0]
    assert desk.names() == []
    assert desk.lists.problems == []


def test_two_empty_ones_with_another_between_are_not_two(desk: Desk) -> None:
    for between in (listing("a"), "{"):
        desk.write(listing("a"))
        assert desk.names() == ["a"]
        for text in ("[]", between, "[]"):
            desk.write(text)
            assert desk.names() == ["a"]


def test_a_group_without_targets_is_empty_too(desk: Desk) -> None:
    desk.write(listing("a"))
    desk.names()
    desk.write('[{"targets": []}]')
    assert desk.names() == ["a"]


def test_a_file_that_is_gone_may_be_being_replaced(desk: Desk) -> None:
    desk.write(listing("a"))
    file = desk.write(listing("b"), "b.json")
    assert desk.names() == ["a", "b"]
    file.unlink()
    assert desk.names() == ["a", "b"]
    desk.write(listing("b"), "b.json")
    assert desk.names() == ["a", "b"]
    file.unlink()
    assert desk.names() == ["a", "b"]
    assert desk.names() == ["a"]
    assert desk.lists.problems == []


def test_a_folder_that_is_gone_lets_go_of_nobody(desk: Desk) -> None:
    desk.write(listing("a"))
    assert desk.names() == ["a"]
    desk.folder.rename(desk.folder.with_name("aside"))
    assert [desk.names() for _ in range(3)] == [["a"]] * 3
    assert "cannot be read (no such file or directory)" in desk.said[0]
    desk.folder.with_name("aside").rename(desk.folder)
    assert desk.names() == ["a"]
    assert desk.lists.problems == []


def test_a_list_of_which_nothing_was_ever_read(desk: Desk) -> None:
    """No file yet, one that cannot be read, one that can; what was read once is known from then on."""
    seen = []
    for text in (None, "{", listing("a"), "{", "[]"):
        if text is not None:
            desk.write(text)
        desk.names()
        seen.append(desk.lists.is_blind)
    assert seen == [True, True, False, False, False]


def test_one_target_that_cannot_be_read_lets_go_of_nobody(desk: Desk) -> None:
    """It may be one of those that are watched."""
    desk.write(listing("a", "b", "c"))
    assert desk.names() == ["a", "b", "c"]
    broken = json.dumps([{"targets": ["a.example:1"], "labels": {"name": "a"}}, {"targets": ["b b"]}])
    desk.write(broken)
    assert desk.names() == ["b", "c", "a"]
    assert "target 1 of entry 2 is neither" in desk.said[0]
    desk.write(listing("a"))
    assert desk.names() == ["a"]


def test_a_name_that_two_have_moves_to_neither(desk: Desk) -> None:
    desk.write(listing("a"))
    before = desk.sections()
    desk.write(json.dumps([{"targets": ["evil:1", "a.example:1"], "labels": {"name": "a"}}]))
    assert desk.sections() == before


def test_one_that_moves_is_watched_where_it_is(desk: Desk) -> None:
    desk.write(listing("a"))
    desk.names()
    desk.write(json.dumps([{"targets": ["new:1"], "labels": {"name": "a"}}, {"targets": ["b b"]}]))
    assert [section.url for section in desk.sections()] == ["wss://new:1"]


def test_nothing_there_yet_is_said(desk: Desk) -> None:
    assert desk.names() == []
    assert "no file is called" in desk.said[0]
    desk.write("[]")
    assert desk.names() == []
    assert desk.lists.problems == []


def test_a_section_that_is_taken_out_is_forgotten(desk: Desk) -> None:
    desk.write(listing("a"))
    desk.names()
    assert desk.names("gateways: [{name: home}]") == ["home"]
    desk.write("{")
    assert desk.names() == [], "what an earlier configuration read is no good list of this one"


def test_many_problems_are_counted(desk: Desk) -> None:
    desk.write(json.dumps([{"targets": [f"{n} x" for n in range(40)]}]))
    desk.names()
    assert len(desk.said) == 6
    assert desk.said[-1].endswith("and 35 more like these")


# ---------------------------------------------------------------- whose it is


def test_a_file_that_everybody_may_write_names_nothing(desk: Desk) -> None:
    desk.write(listing("a"))
    desk.write(listing("b"), "b.json").chmod(0o666)
    assert desk.names() == ["a"]
    assert "b.json is not used: it can be written by everybody" in desk.said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_elses_names_nothing_new(desk: Desk) -> None:
    file = desk.write(listing("a"))
    assert desk.names() == ["a"]
    desk.write(listing("b"))
    os.chown(file, 4711, -1)
    assert desk.names() == ["a"]
    assert "it belongs to uid 4711" in desk.said[0]


def test_a_folder_that_everybody_may_write_names_nothing(desk: Desk) -> None:
    desk.write(listing("a"))
    desk.folder.chmod(0o777)
    assert desk.names() == []
    assert "its folder" in desk.said[0]
    desk.folder.chmod(0o1777)
    assert desk.names() == ["a"], "as a mounted secret is"


def test_what_is_no_file_is_no_list(desk: Desk) -> None:
    os.mkfifo(desk.folder / "a.json")
    (desk.folder / "b.json").mkdir()
    assert desk.names() == []
    assert len(desk.said) == 2


# ---------------------------------------------------------------- beside other sections


def test_what_has_a_section_of_its_own_is_left_alone_and_comes_first(desk: Desk) -> None:
    desk.write(listing("a", "home", "far", "b", "work"))
    sections = "{name: home, url: 'wss://h:1'}, {name: x, url: 'wss://FAR.example.:1'}"
    text = desk.text.replace("]", f", {sections}]")
    assert desk.names(text, taken=("work",)) == ["home", "x", "a", "b"]
    assert [said.rpartition(": ")[2] for said in desk.said] == [
        "another gateway is called home",
        "far has the address of x",
        "another gateway is called work",
    ]


def test_one_target_in_two_lists_is_watched_once(desk: Desk) -> None:
    desk.write(listing("a"))
    desk.write(listing("a", "b"), "b.json")
    assert desk.names() == ["a", "b"]
    assert desk.said[0].endswith("a has the address of a")


def test_ws_to_another_machine_is_for_the_section_to_allow(desk: Desk) -> None:
    desk.write('[{"targets": ["ws://a.example:1", "b.example:1"]}]')
    assert desk.names() == ["b.example-1"]
    assert "in the clear" in desk.said[0]
    assert desk.names(desk.text.replace("}}]", "}, insecure: true}]")) == ["a.example-1", "b.example-1"]


# ---------------------------------------------------------------- over http


class Inventory:
    """Answers with what it is told to."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, listing("a").encode(), dict[str, str]()
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(outer.status if self.path == "/targets" else 200)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.body if self.path == "/targets" else listing("elsewhere").encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def inventory(desk: Desk) -> Iterator[Inventory]:
    one = Inventory()
    desk.text = f"gateways: [{{discover: {{http: '{one.url}/targets', token_dir: /run/tokens}}}}]"
    yield one
    one.close()


def test_it_follows_an_inventory(desk: Desk, inventory: Inventory) -> None:
    (section,) = desk.sections()
    assert (section.name, section.url, section.token_file) == ("a", "wss://a.example:1", "/run/tokens/a.example:1")
    inventory.body = listing("a", "b").encode()
    assert desk.names() == ["a", "b"]
    inventory.body = b"[]"
    assert desk.names() == ["a", "b"]
    assert desk.names() == []
    assert set(inventory.asked) == {"/targets"}


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (500, listing("b"), "status 500"),
        (404, "[]", "status 404"),
        (200, "<html>", "no list of targets"),
        (200, "", "no list of targets"),
    ],
)
def test_an_answer_that_is_no_list_lets_go_of_nobody(
    desk: Desk, inventory: Inventory, status: int, body: str, problem: str
) -> None:
    assert desk.names() == ["a"]
    inventory.status, inventory.body = status, body.encode()
    assert [desk.names() for _ in range(3)] == [["a"]] * 3
    (said,) = desk.said
    assert problem in said
    assert "127.0.0.1" not in said, "an address may hold a password"


def test_a_redirect_is_not_followed(desk: Desk, inventory: Inventory) -> None:
    desk.names()
    inventory.status, inventory.headers = 302, {"location": f"{inventory.url}/elsewhere"}
    assert desk.names() == ["a"]
    assert set(inventory.asked) == {"/targets"}
    assert "status 302" in desk.said[0]


def test_an_answer_has_an_end(desk: Desk, inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.names()
    monkeypatch.setattr(target_lists, "LARGEST", 1000)
    inventory.body = b" " * 2000 + listing("b").encode()
    assert desk.names() == ["a"]
    assert "is larger than" in desk.said[0]


def test_nobody_there_and_nobody_answering(desk: Desk, inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.names()
    monkeypatch.setattr(target_lists, "PATIENCE", 0.0)
    assert desk.names() == ["a"]
    assert "did not come within" in desk.said[0]
    monkeypatch.setattr(target_lists, "PATIENCE", 5.0)
    inventory.close()
    assert desk.names() == ["a"]
    assert "did not come (ConnectError)" in desk.said[1]


def test_a_list_that_anybody_could_change_on_its_way_is_not_asked_for(desk: Desk) -> None:
    text = "gateways: [{discover: {http: 'http://inventory.example/x'}}]"
    assert desk.names(text) == []
    assert "could be changed on its way" in desk.said[0]


def test_its_address_may_come_from_the_environment(desk: Desk, inventory: Inventory) -> None:
    text = "gateways: [{discover: {http: '${INVENTORY}'}}]"
    assert desk.names(text) == []
    assert "the environment variable INVENTORY is not set" in desk.said[0]
    desk.env["INVENTORY"] = f"{inventory.url}/targets"
    (section,) = desk.sections(text)
    assert (section.name, section.token, section.token_file) == ("a", None, None)
