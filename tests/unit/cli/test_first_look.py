"""What the verbs that only look ask for at the door of a gateway that does not know this device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.unit.gateway.scene import ADMIN, READ, WRITE, answers_of
from tests.unit.gateway.server import WireGateway, running
from tests.unit.gateway.support import TOKEN
from watchdog.cli import check, doctor, names, service
from watchdog.cli.shared import Leave, Setting
from watchdog.config import load
from watchdog.service.redaction import Secrets

KEY = "agent:main:main"


async def _explain(setting: Setting) -> None:
    with check._readable_ledger(setting) as ledger, pytest.raises(Leave):
        await check._explain(setting, ledger, None, KEY, as_json=False)


LOOKS: dict[str, Callable[[Setting], Awaitable[object]]] = {
    "a key": lambda setting: names.holders(setting, None, KEY),
    "explain": _explain,
    "check": lambda setting: check._inspect_all(setting, None, quiet=True),
    "doctor": lambda setting: doctor._gateways(setting, None),
}


@pytest.mark.parametrize("observes", [True, False], ids=["observing service", "no such service"])
@pytest.mark.parametrize("look", LOOKS)
async def test_who_looks_asks_for_what_the_service_may_need(
    look: str, observes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "installed_text", lambda _: "ExecStart=/w run --observe\n" if observes else None)
    gateway = WireGateway(answers=answers_of())
    async with running(gateway):
        file = tmp_path / "watchdog.yaml"
        section = f"{{name: home, url: '{gateway.url}', token: {TOKEN}, state_dir: none}}"
        file.write_text(f"gateways: [{section}]\nstate_dir: {tmp_path}/state\n", "utf-8")
        file.chmod(0o600)
        env = {"HOME": str(tmp_path)}
        await LOOKS[look](Setting(load(file, env=env), env, Secrets()))
    asked = {scope for scopes in gateway.scopes_asked for scope in scopes}
    assert asked == ({READ} if observes else {READ, WRITE, ADMIN}), "whoever signs in first asks for all"
