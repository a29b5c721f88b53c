"""What a whole daemon asks for at the door of a gateway that does not know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.clock import ManualClock
from tests.unit.gateway.scene import ADMIN, READ, WRITE, answers_of
from tests.unit.gateway.server import Closed, Refused, WireGateway, running
from tests.unit.gateway.support import TOKEN
from watchdog.config import LoadedConfig, load
from watchdog.daemon.assembly import Builder, Identity
from watchdog.service import errors
from watchdog.service.events import MemoryLog
from watchdog.service.ledger import MessageKind
from watchdog.service.null_meter import NullMeter
from watchdog.service.secret import MASK

CONFIG = "gateways: [{{name: home, url: '{url}', token: {token}, state_dir: none}}]\nstate_dir: {folder}/state\nstatus_page: null\n"
APPROVAL = Refused({"code": "NOT_PAIRED", "message": "pairing required", "details": {"code": "PAIRING_REQUIRED"}})


def loaded_for(gateway: WireGateway, folder: Path) -> LoadedConfig:
    file = folder / "watchdog.yaml"
    file.touch(mode=0o600)
    file.write_text(CONFIG.format(url=gateway.url, token=TOKEN, folder=folder), "utf-8")
    return load(file, env={"HOME": str(folder)})


ECHO = f"the value that was given as auth.token of the connect request is not one known to this proxy here, which got {TOKEN}"


@pytest.mark.parametrize(
    "how",
    [Refused({"code": "INVALID_REQUEST", "message": ECHO}), Closed(1008, f"bad token {TOKEN}")],
    ids=["refused", "closed"],
)
async def test_a_token_that_is_echoed_is_in_no_message_no_ledger_and_no_log(
    tmp_path: Path, how: Refused | Closed
) -> None:
    """Not even for whoever delivers it later, and does not know the token."""
    gateway, log = WireGateway(answers=answers_of(), hello=how), MemoryLog()
    async with running(gateway):
        clock = ManualClock()
        builder = Builder(loaded_for(gateway, tmp_path), {"HOME": str(tmp_path)}, log, NullMeter(), clock=clock)
        parts = builder.parts(is_observing=False)
        try:
            (watch,) = parts.watches
            for _ in range(10):
                await watch.pass_once()
                clock.advance(60)
            owed = [item.message for item in parts.ledger.due_messages("phone", clock.now().wall)]
            assert [message.kind for message in owed] == [MessageKind.GATEWAY_DOWN]
        finally:
            parts.close()
    kept = b"".join(file.read_bytes() for file in (tmp_path / "state").rglob("*") if file.is_file())
    assert MASK.encode() in kept
    for place in (repr(owed), repr(log.lines), kept.decode("latin-1")):
        assert TOKEN[:8] not in place


@pytest.mark.parametrize("is_observing", [True, False], ids=["observing", "acting"])
async def test_who_observes_asks_nobody_for_more_than_reading(tmp_path: Path, is_observing: bool) -> None:
    gateway = WireGateway(answers=answers_of(), hello=APPROVAL)
    async with running(gateway):
        env = {"HOME": str(tmp_path)}
        parts = Builder(loaded_for(gateway, tmp_path), env, MemoryLog(), NullMeter()).parts(is_observing=is_observing)
        try:
            (watch,) = parts.watches
            for _ in range(2):
                with pytest.raises(errors.PairingRequired):
                    await watch.gateway.connect()
            watch.take_book(watch.book)
            with pytest.raises(errors.PairingRequired):
                await watch.gateway.connect()
        finally:
            parts.close()
    more = {(READ, WRITE, ADMIN)}
    assert set(gateway.scopes_asked) == {(READ,)} | (set() if is_observing else more)


async def test_where_a_device_was_let_in_who_only_looks_asks_for_reading_from_then_on(tmp_path: Path) -> None:
    gateway = WireGateway(answers=answers_of())
    async with running(gateway):
        loaded = loaded_for(gateway, tmp_path)
        (section,) = loaded.config.gateways
        (tmp_path / "state").mkdir(mode=0o700)
        for _ in range(2):
            builder = Builder(loaded, {"HOME": str(tmp_path)}, MemoryLog(), NullMeter())
            client = builder.client(section, Identity(tmp_path / "state"), frozenset())
            await client.connect()
            await client.close()
    assert gateway.scopes_asked == [(READ, WRITE, ADMIN), (READ,), (READ,)]
