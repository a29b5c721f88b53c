"""Where each kind of section leads: to the profile it means, with that profile's token, files and process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.discovery.support import Machine
from tests.unit.discovery.test_fleet_cells import TOKEN, play_runtime, write_registry
from watchdog.config import GatewaySection, parse
from watchdog.config.targets import ListedGateway
from watchdog.daemon.endpoints import EndpointFinder, url_of
from watchdog.discovery.fleet_cells import read_registry
from watchdog.discovery.local_gateways import LocalGateway
from watchdog.discovery.machine import Machine as Here
from watchdog.discovery.openclaw_config import ConfigPlace
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.identity import DeviceIdentity, DeviceTokens
from watchdog.service import errors
from watchdog.service.redaction import Secrets


class Desk:
    def __init__(self, root: Path) -> None:
        self.root, self.machine = root, Machine(root)
        self.machine.home.mkdir()
        self.machine.tmp.mkdir()

    def profile(self, name: str | None, port: int, token: str, *, pid: int | None = None) -> Path:
        folder = f".openclaw-{name}" if name else ".openclaw"
        config = self.machine.config({"gateway": {"port": port, "auth": {"token": token}}}, f"{folder}/openclaw.json")
        if pid is not None:
            self.machine.new_lock(config, config.parent, port, pid)
        return config.parent

    def finder(self, section: GatewaySection, here: Here | None = None) -> EndpointFinder:
        device = DeviceIdentity.load_or_create(self.root / "device.pem")
        tokens = DeviceTokens(self.root / "tokens.json")
        return EndpointFinder(section, machine=here or self.machine.here, device=device, tokens=tokens)

    def of(self, text: str) -> EndpointFinder:
        (section,) = parse(f"gateways: [{text}]", env={}).config.gateways
        return self.finder(section)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def facts(endpoint: Endpoint) -> tuple[str, str | None, str | None, int | None]:
    token = endpoint.credentials.token
    return endpoint.url, token.reveal() if token else None, endpoint.state_dir, endpoint.gateway_pid


def test_a_gateway_is_known_once_it_has_let_this_device_in(desk: Desk) -> None:
    finder = desk.of("{name: w, url: 'wss://far.example'}")
    assert not finder().is_known
    device = DeviceIdentity.load_or_create(desk.root / "device.pem")
    DeviceTokens(desk.root / "tokens.json").note_let_in("wss://far.example", device.device_id)
    assert finder().is_known
    assert not desk.of("{name: w, url: 'wss://other.example'}")().is_known


def test_the_url_of_any_running_profile_is_completed(desk: Desk) -> None:
    desk.profile(None, 1, "main", pid=11)
    work = desk.profile("work", 3, "of work", pid=12)
    finder = desk.of("{name: w, url: 'ws://localhost:3'}")
    assert facts(finder()) == ("ws://localhost:3", "of work", str(work), 12)
    assert finder.process_started_at() is not None


def test_what_the_section_says_comes_first(desk: Desk) -> None:
    desk.profile("work", 3, "of work", pid=12)
    finder = desk.of("{url: 'ws://127.0.0.1:3', token: mine, state_dir: none}")
    assert facts(finder()) == ("ws://127.0.0.1:3", "mine", None, 12)


def test_a_port_of_a_profile_that_does_not_run_may_be_a_tunnel(desk: Desk) -> None:
    """Its token has no business on another machine, and its files prove nothing about the gateway there."""
    desk.profile("work", 3, "of work")
    finder = desk.of("{url: 'ws://127.0.0.1:3'}")
    assert facts(finder()) == ("ws://127.0.0.1:3", None, None, None)
    assert finder.process_started_at() is None


def test_the_meant_one_is_completed_running_or_not(desk: Desk) -> None:
    main = desk.profile(None, 1, "main")
    assert facts(desk.of("{url: 'ws://127.0.0.1:1'}")()) == ("ws://127.0.0.1:1", "main", str(main), None)


def test_where_a_section_leads_is_known_without_connecting(desk: Desk) -> None:
    desk.profile(None, 1, "main")
    work = desk.profile("work", 3, "of work", pid=12)
    here = desk.machine.here
    sections = parse("gateways: [{name: a, url: 'wss://far.example'}, {name: b}]", env={}).config.gateways
    assert [url_of(section, here) for section in sections] == ["wss://far.example", "ws://127.0.0.1:1"]
    local = LocalGateway(name="work", place=ConfigPlace(work / "openclaw.json", work, "work"))
    assert url_of(local, here) == "ws://127.0.0.1:3"
    (many,) = parse("gateways: [{discover: local}]", env={}).config.gateways
    assert url_of(many, here) is None
    (work / "openclaw.json").write_text("{")
    assert url_of(local, here) is None


def test_another_machine_gets_nothing_of_ours(desk: Desk) -> None:
    desk.profile(None, 3, "main", pid=11)
    assert facts(desk.of("{url: 'wss://far.example:3'}")()) == ("wss://far.example:3", None, None, None)


def test_what_a_list_names_is_not_shown_the_environments_token(desk: Desk) -> None:
    desk.machine.env["OPENCLAW_GATEWAY_TOKEN"] = "of the meant one"
    assert facts(desk.of("{url: 'wss://far.example:3'}")())[1] == "of the meant one"
    assert facts(desk.finder(ListedGateway(name="far", url="wss://far.example:3"))())[1] is None


def test_a_local_gateway_is_found_afresh_by_its_own_configuration(desk: Desk) -> None:
    desk.machine.env.update({"OPENCLAW_GATEWAY_TOKEN": "of the meant one", "OPENCLAW_GATEWAY_PORT": "7"})
    desk.profile(None, 1, "main", pid=11)
    work = desk.profile("work", 3, "first", pid=12)
    finder = desk.finder(LocalGateway(name="work", place=ConfigPlace(work / "openclaw.json", work, "work")))
    assert facts(finder()) == ("ws://127.0.0.1:3", "first", str(work), 12)
    desk.profile("work", 4, "rotated", pid=13)
    assert facts(finder()) == ("ws://127.0.0.1:4", "rotated", str(work), 13)
    del desk.machine.processes.alive[13]
    assert facts(finder()) == ("ws://127.0.0.1:4", "rotated", str(work), None), "down, and still its own"


def test_a_local_gateway_never_leads_to_another_ones_port(desk: Desk) -> None:
    desk.profile(None, 1, "main", pid=11)
    work = desk.profile("work", 1, "of work")
    finder = desk.finder(LocalGateway(name="work", place=ConfigPlace(work / "openclaw.json", work, "work")))
    with pytest.raises(errors.GatewayUnreachable, match="another configuration runs on its port"):
        finder()


def test_a_local_gateway_whose_configuration_is_broken_says_where(desk: Desk) -> None:
    work = desk.profile("work", 1, "of work")
    (work / "openclaw.json").write_text("{gateway: ")
    finder = desk.finder(LocalGateway(name="work", place=ConfigPlace(work / "openclaw.json", work, "work")))
    with pytest.raises(errors.GatewayUnreachable, match=r"openclaw\.json, line 1: not valid JSON5"):
        finder()


def test_a_cell_that_is_named_by_its_url_has_the_command_that_runs_inside_it(desk: Desk) -> None:
    write_registry(desk.profile(None, 1, "main"), "acme", runtime="podman")
    named = GatewaySection.model_validate({"name": "a", "url": "ws://localhost:19100", "token": "t"})
    assert desk.finder(named)().openclaw() == "podman exec openclaw-cell-acme node dist/index.js"
    other = GatewaySection.model_validate({"name": "b", "url": "ws://127.0.0.1:19101", "token": "t"})
    assert desk.finder(other)().openclaw() is None


def test_a_gateway_of_its_own_on_the_port_of_a_stopped_cell_has_no_command_of_the_cell(desk: Desk) -> None:
    state = desk.profile(None, 19100, "main", pid=11)
    write_registry(state, "acme", port=19100)
    named = GatewaySection.model_validate({"name": "a", "url": "ws://127.0.0.1:19100", "token": "t"})
    assert desk.finder(named)().openclaw() is None


def test_a_state_folder_that_cannot_be_entered_keeps_nobody_from_connecting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, is_file = write_registry(desk.profile(None, 1, "main"), "acme"), Path.is_file

    def forbidden(self: Path) -> bool:
        if self == registry:
            raise PermissionError(13, "Permission denied", str(self))
        return is_file(self)

    monkeypatch.setattr(Path, "is_file", forbidden)  # as on Python 3.11; root, who may run this, enters every folder
    named = GatewaySection.model_validate({"name": "a", "url": "ws://127.0.0.1:19100", "token": "t"})
    assert desk.finder(named)().openclaw() is None


def test_a_cell_is_signed_in_to_with_its_containers_token(desk: Desk) -> None:
    state = desk.profile(None, 1, "main")
    (acme,) = read_registry(write_registry(state, "acme"))
    desk.machine.env["PATH"] = play_runtime(desk.root / "bin", acme)
    section = LocalGateway(name="acme", place=ConfigPlace(acme.config_path, acme.data_dir), cell=acme)
    here = desk.machine.here
    finder = desk.finder(section, here)
    known = ("ws://127.0.0.1:19100", TOKEN, str(acme.data_dir), None)
    assert facts(finder()) == known
    assert finder().openclaw() == "docker exec openclaw-cell-acme node dist/index.js"
    whole = acme.registry.read_bytes()
    acme.registry.write_text("broken " * 1000)
    here.everything()
    assert facts(finder()) == known, "what cannot be read changes nothing"
    acme.registry.write_bytes(whole)
    write_registry(state)
    here.everything()
    with pytest.raises(errors.GatewayUnreachable, match="has it no more"):
        finder()


# ---------------------------------------------------------------- whose port it is

OURS = ("127.0.0.1", 40000)


def checked(desk: Desk, endpoint: Endpoint, port: int, uid: int | None) -> str | None:
    """What is found of a far end of this account."""
    desk.machine.processes.peers = {port: uid} if uid is not None else {}
    assert endpoint.check_peer is not None
    return endpoint.check_peer(OURS, ("127.0.0.1", port))


def test_a_secret_that_was_found_goes_to_its_accounts_port_alone(desk: Desk) -> None:
    desk.profile("work", 3, "of work", pid=12)
    us = desk.machine.uid
    for text in ("{name: w, url: 'ws://localhost:3'}", "{name: w}"):
        desk.machine.env["OPENCLAW_PROFILE"] = "work"
        endpoint = desk.of(text)()
        assert checked(desk, endpoint, 3, us) is None
        assert checked(desk, endpoint, 3, 0) is None
        assert checked(desk, endpoint, 3, None) == "its owner cannot be seen from here"
        with pytest.raises(errors.ForeignListener) as refused:
            checked(desk, endpoint, 3, us + 1)
        assert str(refused.value).startswith(
            f"w: uid {us + 1} answers on port 3, and the gateway there is of uid {us}: nothing secret was sent"
        )
    desk.machine.processes.unmapped = {us + 1}
    assert checked(desk, endpoint, 3, us + 1) == "its owner cannot be seen from here"


def test_a_url_with_a_secret_of_its_own_is_taken_as_named_unless_its_state_dir_says_whose_it_is(desk: Desk) -> None:
    work, us = desk.profile("work", 3, "of work"), desk.machine.uid
    (work / "openclaw.json").chmod(0o600)
    named = desk.of("{url: 'ws://127.0.0.1:3', token: mine}")()
    assert checked(desk, named, 3, us + 1) == "its url is named in the configuration, without a state_dir"
    none = desk.of("{url: 'ws://127.0.0.1:3', token: mine, state_dir: none}")()
    assert checked(desk, none, 3, us + 1) == "its url is named in the configuration, without a state_dir"
    whose = desk.of(f"{{url: 'ws://127.0.0.1:3', token: mine, state_dir: {work}}}")()
    assert checked(desk, whose, 3, us) is None
    with pytest.raises(errors.ForeignListener):
        checked(desk, whose, 3, us + 1)
    missing = desk.of("{url: 'ws://127.0.0.1:3', token: mine, state_dir: /nowhere/at/all}")()
    assert checked(desk, missing, 3, us + 1) == "the owner of its state_dir is unknown"


def test_what_was_found_for_a_gateway_and_not_used_is_said(desk: Desk) -> None:
    state = desk.profile(None, 1, "${TOKEN}", pid=11)
    (state / ".env").write_text("TOKEN=from-dotenv")
    (state / ".env").chmod(0o666)
    said: list[str] = []
    here = Here(desk.machine.env, desk.machine.home, desk.machine.processes, (desk.machine.tmp,), said.append)
    with pytest.raises(errors.AuthenticationRefused, match="TOKEN, which is not set here"):
        desk.finder(GatewaySection(name="home"), here)()
    assert [text for text in said if f"{state}/.env can be written by everybody" in text] == said[:1]


def test_a_token_that_is_no_text_is_refused_in_plain_words(desk: Desk) -> None:
    """A variable whose bytes are no UTF-8."""
    desk.machine.env["OURS"] = desk.machine.env["OPENCLAW_GATEWAY_TOKEN"] = b"t\xff".decode("utf-8", "surrogateescape")
    named = desk.of("{name: w, url: 'ws://localhost:3', token: '${OURS}'}")
    for finder in (named, desk.of("{name: w, url: 'ws://localhost:3'}")):
        finder._on_secret = Secrets().add
        with pytest.raises(errors.AuthenticationRefused, match="no UTF-8 text"):
            finder()
