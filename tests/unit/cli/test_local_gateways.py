"""The verbs on a machine with several gateways: each is shown, each can be named, and none is guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.unit.discovery.local_profiles import LocalProfiles
from watchdog.cli.check import Unreached, _inspect_all, chosen_sections
from watchdog.cli.doctor import Grade, _gateways
from watchdog.cli.recover import _recover
from watchdog.cli.shared import Setting, UnknownGateway
from watchdog.config import parse
from watchdog.core.policy import Step
from watchdog.discovery import profiles
from watchdog.discovery.gateway_lock import lock_folders
from watchdog.service.one_shot import Inspection
from watchdog.service.redaction import Secrets

CONFIG = """
gateways: [{{discover: local}}]
poll_every: 100ms
thresholds: {{confirm_for: 100ms, startup_grace: 1s}}
state_dir: {folder}/state
allow_short_thresholds: true
"""


@pytest.fixture
async def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    def own_folders(state_dirs: Iterable[Path], _tmp_dirs: object, uid: int) -> Iterator[Path]:
        return lock_folders(state_dirs, (), uid)

    # Lock files of gateways that happen to run on this machine are not part of the test.
    monkeypatch.setattr(profiles, "lock_folders", own_folders)
    async with AsyncExitStack() as stack:
        host = LocalProfiles(tmp_path, stack)
        await host.start(".openclaw")
        await host.start(".openclaw-work")
        host.machine.config({"gateway": {"port": 1}}, ".openclaw-old/openclaw.json")
        host.machine.config("{gateway: ", ".openclaw-bad/openclaw.json")
        env = {"HOME": str(host.machine.home)}
        yield Setting(parse(CONFIG.format(folder=tmp_path), env=env), env, Secrets())


async def test_check_looks_at_each(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    found = await _inspect_all(setting, None, quiet=True)
    assert all(isinstance(one, Inspection) for one in found)
    assert [one.facts.name for one in found if isinstance(one, Inspection)] == ["local", "work"]
    assert ".openclaw-bad/openclaw.json, line 1: not valid JSON5" in capsys.readouterr().err


async def test_each_can_be_named_running_or_not(setting: Setting) -> None:
    (work,) = await _inspect_all(setting, "work", quiet=True)
    assert isinstance(work, Inspection)
    assert work.facts.name == "work"
    (old,) = await _inspect_all(setting, "old", quiet=True)
    assert isinstance(old, Unreached)
    with pytest.raises(UnknownGateway):
        chosen_sections(setting, "nobody")


async def test_doctor_examines_each_and_says_what_cannot_be_used(setting: Setting) -> None:
    findings = await _gateways(setting, None)
    connected = [finding.subject for finding in findings if finding.text.startswith("connected to OpenClaw")]
    assert connected == ["local", "work"]
    checked = [finding.subject for finding in findings if finding.text == "its port is its own account's or root's"]
    assert checked == ["local", "work"]
    (bad,) = [finding for finding in findings if finding.subject == "discovery"]
    assert bad.grade is Grade.WARN
    assert ".openclaw-bad" in bad.text


async def test_verbs_with_a_list(setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = f"gateways: [{{discover: {{file: '{tmp_path}/*.json'}}}}]"
    text = CONFIG.format(folder=tmp_path).replace("gateways: [{discover: local}]", section)
    listed = Setting(parse(text, env=setting.env), setting.env, Secrets())
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UnknownGateway, match="no list names a gateway now"):
        chosen_sections(listed, None)
    (said,) = [one for one in await _gateways(listed, None) if one.subject == "discovery"]
    assert said.grade is Grade.FAIL

    (tmp_path / "a.json").write_text('[{"targets": ["127.0.0.1:1"], "labels": {"name": "x"}}, {"targets": ["b b"]}]')
    assert [section.name for section in chosen_sections(listed, "x")] == ["x"]
    assert "warning: <text>:2:23: not all of this list is used" in capsys.readouterr().err
    said, down = await _gateways(listed, None)
    assert (said.subject, said.grade, down.subject, down.grade) == ("discovery", Grade.WARN, "x", Grade.FAIL)


async def test_doctor_says_what_is_believed_of_a_version_that_nobody_has_tried(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        gateway = await LocalProfiles(tmp_path, stack).start(".openclaw", version="2026.9.7")
        token = gateway.access.token
        section = f"gateways: [{{name: here, url: 'ws://127.0.0.1:{gateway.port}', token: {token}}}]"
        env = {"HOME": str(tmp_path)}
        text = CONFIG.format(folder=tmp_path).replace("gateways: [{discover: local}]", section)
        findings = await _gateways(Setting(parse(text, env=env), env, Secrets()), None)
        (said,) = [finding for finding in findings if "newer than any release" in finding.text]
        assert said.grade is Grade.WARN
        assert "believed as those of 2026.9.6 are" in said.text


async def test_recover_does_not_guess_which_gateway_is_meant(setting: Setting) -> None:
    done = await _recover(setting, None, "agent:main:main", Step.RESUME, confirm=False)
    assert done["recovered"] is False
    assert done["reason"] == "local and work have this session; say which with --gateway"


async def test_recover_does_not_take_the_gateway_that_happens_to_answer(tmp_path: Path) -> None:
    """The one that is meant may be the one that is down."""
    async with AsyncExitStack() as stack:
        gateway = await LocalProfiles(tmp_path, stack).start(".openclaw")
        sections = (
            f"gateways: [{{name: here, url: 'ws://127.0.0.1:{gateway.port}', token: {gateway.access.token}}}, "
            "{name: away, url: 'ws://127.0.0.1:1', token: x}]"
        )
        env = {"HOME": str(tmp_path)}
        text = CONFIG.format(folder=tmp_path).replace("gateways: [{discover: local}]", sections)
        setting = Setting(parse(text, env=env), env, Secrets())
        done = await _recover(setting, None, "agent:main:main", Step.RESUME, confirm=False)
        assert done["recovered"] is False
        assert str(done["reason"]).endswith("away may have this session, too; say which is meant with --gateway")
        named = await _recover(setting, "here", "agent:main:main", Step.RESUME, confirm=False)
        assert "--gateway" not in str(named.get("reason"))


async def test_doctor_says_that_two_sections_lead_to_one_gateway(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        gateway = await LocalProfiles(tmp_path, stack).start(".openclaw")
        sections = [
            f"{{name: {name}, url: '{gateway.url}{path}', token: {gateway.access.token}, state_dir: none}}"
            for name, path in (("home", ""), ("proxied", "/2"))
        ]
        text = f"gateways: [{', '.join(sections)}]\nstate_dir: {tmp_path}/state\n"
        found = await _gateways(Setting(parse(text, env={}), {"HOME": str(tmp_path)}, Secrets()), None)
    words = "reaches the same gateway as home, and is not watched: one section for each gateway, keep one"
    assert [(one.subject, one.text) for one in found if one.grade is Grade.FAIL] == [("proxied", words)]
