"""The parts of the harness that need no gateway: the model, Telegram, the ports, the installer."""

from __future__ import annotations

import http.client
import json
import os
import threading
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import install
from tests.e2e.harness.conditions import stays, until
from tests.e2e.harness.failures import HarnessError, Hopeless, InstallError
from tests.e2e.harness.ports import PortBlock, is_taken
from tests.e2e.harness.provider import Answer, Held, Mode, Provider, Silence, Status, Stream, Tools
from tests.e2e.harness.releases import V5_18, Release
from tests.e2e.harness.telegram import ALICE, BOB, CLAW, FORUM, GENERAL, BotApi, Place

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def ask(provider: Provider, *texts: str, stream: bool = True, timeout: float = 5) -> httpx.Response:
    """Alternating words of user and assistant, the user's last."""
    roles = ("user", "assistant") if len(texts) % 2 else ("assistant", "user")
    messages = [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    body = {"model": Provider.MODEL, "stream": stream, "messages": messages}
    return httpx.post(f"{provider.base_url}/chat/completions", json=body, timeout=timeout, trust_env=False)


def test_the_model_answers_as_its_rules_say() -> None:
    with Provider() as provider:
        provider.on("RIVER", Answer("over the river"))
        provider.on("BROKEN", Status(503))
        assert "over the river" in ask(provider, "the RIVER please").text
        assert ask(provider, "the RIVER please", stream=False).json()["choices"][0]["message"]["content"]
        assert ask(provider, "BROKEN").status_code == 503
        provider.forget("RIVER")
        assert "over the river" not in ask(provider, "the RIVER please").text
        assert [call.outcome for call in provider.calls] == ["answered", "answered", "status 503", "answered"]


def test_a_rule_holds_for_the_turn_and_not_for_what_was_said_before() -> None:
    with Provider() as provider:
        provider.on("OLD", Status(500))
        assert ask(provider, "OLD", "answered long ago", "and now?").status_code == 200
        (call,) = provider.calls
        assert call.turn_text == "and now?"
        assert call.shows("OLD")
        assert not provider.calls_with("OLD")
        assert provider.calls_showing("OLD") == [call]


def test_calls_that_are_over_can_be_taken_out_of_the_book() -> None:
    with Provider() as provider:
        provider.on("QUIET", Silence())
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=5)
        body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "QUIET"}]})
        connection.request("POST", "/v1/chat/completions", body)
        quiet = provider.await_call("QUIET")
        ask(provider, "one")
        ask(provider, "two")
        until("both are over", lambda: len(provider.calls) - len(provider.open_calls()) == 2, within=5)
        assert [call.turn_text for call in provider.take_finished()] == ["one", "two"]
        assert provider.calls == [quiet]
        connection.close()
        until("the quiet one is over", lambda: not quiet.is_open, within=5)
        assert provider.take_finished() == [quiet]
        assert not provider.calls


@pytest.mark.parametrize("mode", [Silence(), Silence(headers=False), Stream(60)], ids=str)
def test_a_long_call_is_open_until_the_client_goes(mode: Mode) -> None:
    with Provider() as provider:
        provider.on("QUIET", mode)
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=5)
        body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "QUIET"}]})
        connection.request("POST", "/v1/chat/completions", body)
        provider.await_call("QUIET")
        stays("the call is open", lambda: provider.open_calls("QUIET"), for_seconds=0.5, every=0.1)
        connection.close()
        until("the call is closed", lambda: provider.calls[-1].outcome == "client gone", within=5)
        assert not provider.open_calls()


def test_tools_are_asked_for_until_enough_results_are_in() -> None:
    with Provider() as provider:
        provider.on("DIG", Tools("echo hole", 1, then=Answer("it is a hole")))
        first = ask(provider, "DIG").text
        assert (
            json.loads(first.split("data: ")[2])["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "exec"
        )
        messages = [
            {"role": "user", "content": "DIG"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1"}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "hole"},
        ]
        body = {"stream": True, "messages": messages}
        second = httpx.post(f"{provider.base_url}/chat/completions", json=body, timeout=5, trust_env=False).text
        assert "it is a hole" in second
        assert [len(call.tool_results) for call in provider.calls_with("DIG")] == [0, 1]


def test_port_blocks_do_not_overlap() -> None:
    blocks = [PortBlock() for _ in range(5)]
    try:
        assert len({block.first for block in blocks}) == 5
        assert not any(is_taken(block.first) for block in blocks)
    finally:
        for block in blocks:
            block.release()


def test_waiting_ends_with_what_was_seen_last_and_at_once_when_it_is_hopeless() -> None:
    with pytest.raises(HarnessError, match=r"the cows come home: not within 0\.3 s, last seen: 0"):
        until("the cows come home", lambda: 0, within=0.1, every=0.02)

    def gone() -> bool:
        raise Hopeless("sold")

    with pytest.raises(Hopeless, match="sold"):
        until("the cows come home", gone, within=60)


# ------------------------------------------------------------ a Telegram of our own


def ask_telegram(api: BotApi, method: str, **parameters: object) -> httpx.Response:
    return httpx.post(f"{api.root}/bot{CLAW.token}/{method}", json=parameters, timeout=10, trust_env=False)


def test_telegram_hands_out_what_people_write_until_it_is_confirmed() -> None:
    with BotApi() as api:
        assert ask_telegram(api, "getUpdates", timeout=0).json()["result"] == []
        api.write(ALICE, "/stop now")
        api.write(BOB, "hello", Place(FORUM, GENERAL))
        first, second = ask_telegram(api, "getUpdates", timeout=5).json()["result"]
        assert first["message"]["entities"][0] == {"type": "bot_command", "offset": 0, "length": 5}
        assert "message_thread_id" not in second["message"]
        assert len(ask_telegram(api, "getUpdates", timeout=0).json()["result"]) == 2
        assert ask_telegram(api, "getUpdates", timeout=0, offset=second["update_id"]).json()["result"] == [second]
        assert api.waiting() == 1
        later = threading.Timer(0.3, lambda: api.write(ALICE, "are you there?"))
        later.start()
        (third,) = ask_telegram(api, "getUpdates", timeout=20, offset=second["update_id"] + 1).json()["result"]
        assert third["message"]["text"] == "are you there?"


def test_telegram_keeps_what_was_said_where_as_people_see_it() -> None:
    with BotApi() as api:
        api.write(BOB, "hello", Place(FORUM, 11))
        sent = ask_telegram(api, "sendMessage", chat_id=FORUM.id, text="wo", message_thread_id=11).json()["result"]
        ask_telegram(api, "editMessageText", chat_id=FORUM.id, message_id=sent["message_id"], text="word")
        ask_telegram(api, "sendMessage", chat_id=str(FORUM.id), text="to all")
        ask_telegram(api, "sendMessageDraft", chat_id=ALICE.id, draft_id=1, text="half a sec")
        gone = ask_telegram(api, "sendMessage", chat_id=ALICE.id, text="secret").json()["result"]
        ask_telegram(api, "deleteMessage", chat_id=ALICE.id, message_id=gone["message_id"])
        assert [each.text for each in api.heard(Place(FORUM, 11))] == ["word"]
        assert [each.text for each in api.heard(Place(FORUM, GENERAL))] == ["to all"]
        assert api.heard(Place(ALICE.chat)) == []
        assert api.hears("wo", Place(FORUM, 11)) is not None
        assert api.chats_shown("secret") == api.chats_shown("half") == {ALICE.id}
        assert ask_telegram(api, "setMessageReaction", chat_id=ALICE.id).json() == {"ok": True, "result": True}
        for thread in (GENERAL, 12):
            api.drop_topic(Place(FORUM, 12))
            refused = ask_telegram(api, "sendMessage", chat_id=FORUM.id, text="x", message_thread_id=thread)
            assert refused.status_code == 400


def test_telegram_can_refuse_fail_and_be_away() -> None:
    with BotApi() as api:
        api.block(ALICE)
        assert ask_telegram(api, "sendMessage", chat_id=ALICE.id, text="secret").status_code == 403
        assert ask_telegram(api, "sendMessage", chat_id=BOB.id, text="x").status_code == 200
        assert api.heard(Place(ALICE.chat)) == []
        assert api.chats_shown("secret") == {ALICE.id}
        api.break_down()
        assert ask_telegram(api, "getMe").status_code == 502
        api.repair()
        api.revoke(CLAW)
        assert ask_telegram(api, "getUpdates", timeout=5).status_code == 401
        api.restore(CLAW)
        api.go_away()
        with pytest.raises(httpx.ConnectError):
            ask_telegram(api, "getMe")
        api.come_back()
        assert ask_telegram(api, "getMe").json()["result"]["username"] == CLAW.username


def test_turns_that_are_held_end_together() -> None:
    with Provider() as provider:
        held = Held()
        provider.on("WAIT", held)
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(ask(provider, "WAIT").text)) for _ in range(2)]
        for thread in threads:
            thread.start()
        until("both speak", lambda: len([call for call in provider.calls if call.pieces]) == 2, within=5)
        assert not answers
        held.end.set()
        for thread in threads:
            thread.join(10)
        assert len(answers) == 2


# ------------------------------------------------------------ installing, with an npm of our own

FAKE_NPM = """#!/bin/sh
echo attempt >> "{log}"
if [ "$(wc -l < "{log}")" -le {failures} ]; then echo "network is down" >&2; exit 1; fi
mkdir -p node_modules/node/bin node_modules/openclaw
touch node_modules/node/bin/node node_modules/openclaw/openclaw.mjs
"""


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, *, failures: int) -> Path:
    """Puts an npm on PATH that fails so often; the file with a line for each attempt."""
    tools, log = folder / "bin", folder / "attempts"
    tools.mkdir()
    program = tools / "npm"
    program.write_text(FAKE_NPM.format(log=log, failures=failures))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OPENCLAW_WATCHDOG_E2E_CACHE", str(folder / "cache"))
    return log


def test_an_install_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = fake_npm(tmp_path, monkeypatch, failures=2)
    assert install.installed(V5_18).script.exists()
    assert len(attempts.read_text().splitlines()) == 4  # node on the third attempt, then OpenClaw
    assert install.installed(V5_18).script.exists()
    assert len(attempts.read_text().splitlines()) == 4


def test_an_install_that_keeps_failing_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, monkeypatch, failures=99)
    with pytest.raises(InstallError, match=r"node 22 .*install\.log"):
        install.installed(V5_18)
    assert "network is down" in (tmp_path / "cache/node/22.install.log").read_text()
    assert not (tmp_path / "cache/node/22").exists()


def test_two_installers_do_the_work_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = fake_npm(tmp_path, monkeypatch, failures=0)
    made: list[Release] = []
    threads = [threading.Thread(target=lambda: made.append(install.installed(V5_18).release)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made == [V5_18] * 4
    assert len(attempts.read_text().splitlines()) == 2  # node, OpenClaw


def test_without_npm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OPENCLAW_WATCHDOG_E2E_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InstallError, match="apt-get install npm"):
        install.installed(V5_18)
