"""``connect``, version by version: who is let in, with which scopes, and how the others are refused."""

from __future__ import annotations

from typing import Any

import pytest

from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.process import Phase
from openclaw_simulator.profiles import PROFILES, V2026_4_2
from openclaw_simulator.rpc import Close, SimulatedConnection
from openclaw_simulator.world import World
from tests.unit.openclaw_simulator.peers import SCOPES, call, connect, drain, hello_params
from tests.unit.openclaw_simulator.simulated import NOW, make_world

VERSIONS = tuple(PROFILES)


class TestHandshake:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_first_the_challenge_then_connect(self, version: str) -> None:
        peer = SimulatedConnection(make_world(version), AccessRules())
        (frame,) = drain(peer)
        assert (frame["event"], frame["payload"]["nonce"]) == ("connect.challenge", peer.nonce)
        peer.receive({"type": "req", "id": "1", "method": "health", "params": {}})
        answer, close = drain(peer)
        words = "invalid handshake: first request must be connect"
        assert (answer["error"]["message"], close) == (words, Close(1008, words))

    @pytest.mark.parametrize(
        ("changes", "code", "detail", "closes"),
        [
            ({"auth": {"token": "wrong"}, "device": None}, "INVALID_REQUEST", "AUTH_TOKEN_MISMATCH", 1008),
            ({"auth": None, "device": None}, "NOT_PAIRED", "DEVICE_IDENTITY_REQUIRED", 1008),
            ({"auth": {"password": "x"}, "device": None}, "INVALID_REQUEST", "AUTH_TOKEN_MISSING", 1008),
            ({"minProtocol": 5, "maxProtocol": 9}, "INVALID_REQUEST", "PROTOCOL_MISMATCH", 1002),
            ({"client": {"id": "nobody", "mode": "x"}}, "INVALID_REQUEST", None, 1008),
        ],
    )
    def test_refusals(self, changes: dict[str, Any], code: str, detail: str | None, closes: int) -> None:
        _, answer, rest = connect(make_world("2026.9.6"), **changes)
        assert (answer["ok"], answer["error"]["code"]) == (False, code)
        assert answer["error"].get("details", {}).get("code") == detail
        assert rest[-1].code == closes

    @pytest.mark.parametrize(
        ("version", "least", "most", "is_let_in"),
        [("2026.3.24", 1, 3, True), ("2026.4.14", 3, 4, True), ("2026.5.18", 1, 3, False), ("2026.9.6", 4, 9, True)],
    )
    def test_protocol_ranges(self, version: str, least: int, most: int, is_let_in: bool) -> None:
        _, answer, _ = connect(make_world(version), minProtocol=least, maxProtocol=most)
        assert answer["ok"] is is_let_in
        if is_let_in:
            assert answer["payload"]["protocol"] == PROFILES[version].protocol

    @pytest.mark.parametrize(
        ("version", "backend", "cli"),
        [
            ("2026.3.24", False, False),
            ("2026.4.14", False, False),
            ("2026.5.18", True, False),
            ("2026.9.6", True, True),
        ],
    )
    def test_scopes_without_a_device(self, version: str, backend: bool, cli: bool) -> None:
        """older.md 1: most clients connect and may do nothing at all."""
        for client, keeps in (("gateway-client", backend), ("cli", cli)):
            mode = "backend" if client == "gateway-client" else "cli"
            peer, answer, _ = connect(make_world(version), device=None, client={"id": client, "mode": mode})
            assert answer["ok"]
            listed = call(peer, "sessions.list")
            assert listed["ok"] is keeps
            if not keeps:
                assert listed["error"] == {"code": "INVALID_REQUEST", "message": "missing scope: operator.read"}
            assert call(peer, "health")["ok"]

    def test_scopes_must_be_asked_for(self) -> None:
        peer, answer, _ = connect(make_world("2026.9.6"), scopes=None)
        assert answer["payload"]["auth"]["scopes"] == []
        error = call(peer, "sessions.list")["error"]
        assert (error["code"], error["details"]["missingScope"]) == ("FORBIDDEN", "operator.read")

    def test_a_cli_device_gets_a_token_that_works_narrower_and_not_wider(self) -> None:
        world, access = make_world("2026.9.6"), AccessRules()
        cli = {"id": "cli", "mode": "cli"}
        _, answer, _ = connect(world, access, client=cli, scopes=["operator.read"])
        token = answer["payload"]["auth"]["deviceToken"]
        _, again, _ = connect(world, access, client=cli, scopes=["operator.read"], auth={"deviceToken": token})
        assert again["payload"]["auth"]["method"] == "device-token"
        _, wider, _ = connect(world, access, client=cli, scopes=SCOPES, auth={"deviceToken": token})
        assert wider["error"]["details"]["code"] == "AUTH_SCOPE_MISMATCH"
        _, bare, _ = connect(world, access, client=cli, device=None, auth={"deviceToken": token})
        assert bare["error"]["code"] == "NOT_PAIRED"

    def test_where_backends_are_paired_what_is_asked_for_first_is_approved_and_nothing_later(self) -> None:
        """Frames of 2026.3.28 and 4.2."""
        world, access = World(V2026_4_2, NOW, 1), AccessRules()
        asked = {"read": ["operator.read"], "more": ["operator.read", "operator.write"], "all": SCOPES}

        def sign_in(what: str) -> dict[str, Any]:
            return connect(world, access, scopes=asked[what])[1]

        token = sign_in("read")["payload"]["auth"]["deviceToken"]
        numbers = []
        for what in ("all", "all", "more"):
            error = sign_in(what)["error"]
            assert (error["code"], error["details"]["reason"]) == ("NOT_PAIRED", "scope-upgrade")
            numbers.append(error["details"]["requestId"])
        assert (numbers[0] == numbers[1], numbers[1] == numbers[2]) == (True, False), "other scopes rename the request"
        again = sign_in("read")["payload"]["auth"]
        assert (again["deviceToken"], again["scopes"]) == (token, ["operator.read"])
        access.approve("d1")
        assert sign_in("all")["ok"], "it has gathered what was asked for"
        for version in VERSIONS:
            unlike, none = make_world(version), AccessRules()
            assert connect(unlike, none, scopes=asked["read"])[1]["ok"]
            assert connect(unlike, none, scopes=asked["all"])[1]["ok"]
            assert not none.paired

    def test_a_signature_is_checked_when_a_check_is_given(self) -> None:
        texts: list[str] = []

        def verify(key: str, signature: str, text: str) -> bool:
            texts.append(text)
            return signature == "good"

        world, access = make_world("2026.5.18"), AccessRules(verify=verify)
        _, answer, _ = connect(world, access)
        assert answer["error"]["details"]["code"] == "DEVICE_AUTH_SIGNATURE_INVALID"
        assert texts[0].startswith("v3|d1|gateway-client|backend|operator|operator.read,operator.write,operator.admin|")
        assert texts[0].endswith("|linux|")
        peer = SimulatedConnection(world, access)
        params = hello_params(peer)
        params["device"]["signature"] = "good"
        peer.receive({"type": "req", "id": "1", "method": "connect", "params": params})
        assert drain(peer)[-1]["ok"]

    def test_stale_and_foreign_challenges(self) -> None:
        world = make_world("2026.9.6")
        for change, code in (({"nonce": "x"}, "NONCE_MISMATCH"), ({"signedAt": 0}, "SIGNATURE_EXPIRED")):
            peer = SimulatedConnection(world, AccessRules())
            params = hello_params(peer)
            params["device"] |= change
            peer.receive({"type": "req", "id": "1", "method": "connect", "params": params})
            assert code in drain(peer)[1]["error"]["details"]["code"]

    def test_pairing_and_rate_limit_on_demand(self) -> None:
        world = make_world("2026.9.6")
        _, answer, _ = connect(world, AccessRules(pairs_devices=False), client={"id": "cli", "mode": "cli"})
        assert (answer["error"]["code"], answer["error"]["details"]["code"]) == ("NOT_PAIRED", "PAIRING_REQUIRED")
        _, answer, _ = connect(world, AccessRules(is_rate_limited=True))
        assert answer["error"]["details"]["code"] == "AUTH_RATE_LIMITED"

    def test_a_starting_gateway_says_so(self) -> None:
        world = make_world("2026.9.6")
        world.process.kill()
        world.process.start()
        world.advance(8)
        assert world.process.phase is Phase.REFUSING
        _, answer, rest = connect(world)
        assert (answer["error"]["code"], answer["error"]["details"]) == ("UNAVAILABLE", {"reason": "startup-sidecars"})
        assert rest[-1].code == 1013

    def test_boot_id_is_96_only_and_changes_with_every_start(self) -> None:
        world = make_world("2026.9.6")
        first = connect(world)[1]["payload"]
        world.process.restart_in_process()
        world.advance(10)
        second = connect(world)[1]["payload"]
        assert first["server"]["bootId"] != second["server"]["bootId"]
        assert second["snapshot"]["uptimeMs"] == 10_000
        assert "bootId" not in connect(make_world("2026.5.18"))[1]["payload"]["server"]
