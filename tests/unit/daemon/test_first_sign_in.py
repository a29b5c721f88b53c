"""What a whole daemon asks for at the door of a gateway that does not know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.gateway.scene import ADMIN, READ, WRITE, answers_of
from tests.unit.gateway.server import Refused, WireGateway, running
from tests.unit.gateway.support import TOKEN
from watchdog.config import LoadedConfig, load
from watchdog.daemon.assembly import Builder, Identity
from watchdog.service import errors
from watchdog.service.events import MemoryLog
from watchdog.service.null_meter import NullMeter

CONFIG = "gateways: [{{name: home, url: '{url}', token: {token}, state_dir: none}}]\nstate_dir: {folder}/state\nstatus_page: null\n"
APPROVAL = Refused({"code": "NOT_PAIRED", "message": "pairing required", "details": {"code": "PAIRING_REQUIRED"}})


def loaded_for(gateway: WireGateway, folder: Path) -> LoadedConfig:
    file = folder / "watchdog.yaml"
    file.touch(mode=0o600)
    file.write_text(CONFIG.format(url=gateway.url, token=TOKEN, folder=folder), "utf-8")
    return load(file, env={"HOME": str(folder)})


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
