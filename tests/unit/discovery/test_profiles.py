from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.discovery.support import Machine
from watchdog.discovery.credentials import CredentialUnavailable
from watchdog.discovery.found import DiscoveredGateway
from watchdog.discovery.openclaw_config import ConfigBroken, ConfigUnreadable, ForeignFile
from watchdog.discovery.profiles import GatewayNotFound, discover

LAB = {"gateway": {"mode": "local", "port": 20000, "bind": "loopback", "auth": {"mode": "token", "token": "lab-token"}}}
"""The part of the lab's own configurations that matters."""


def token_of(gateway: DiscoveredGateway) -> str | None:
    return None if gateway.token_source is None else gateway.token_source().reveal()


def gateway_config(**gateway: object) -> dict[str, object]:
    return {"gateway": {"auth": {"token": "t"}, **gateway}}


# ---------------------------------------------------------------- one gateway


def test_a_running_gateway_of_3_24(machine: Machine) -> None:
    config = machine.config(LAB)
    machine.old_lock(config, pid=8481)
    machine.processes.sockets[8481] = (("127.0.0.1", 20000), ("127.0.0.1", 20002), ("::1", 20000))
    found = machine.discover()
    assert found.url == "ws://127.0.0.1:20000"
    assert token_of(found) == "lab-token"
    assert found.password is None
    assert found.name == "default"
    assert (found.state_dir, found.config_path) == (machine.home / ".openclaw", config)
    assert (found.pid, found.lock_created_at) == (8481, datetime(2026, 11, 20, 10, 51, 40, tzinfo=UTC))
    assert found.notes == ()


def test_a_running_gateway_of_9_6_says_its_port(machine: Machine) -> None:
    config = machine.config(LAB)
    machine.new_lock(config, machine.home / ".openclaw", 20060, pid=8490)
    machine.env["OPENCLAW_GATEWAY_PORT"] = "1"
    found = machine.discover()
    assert (found.url, found.pid, found.notes) == ("ws://127.0.0.1:20060", 8490, ())


def test_nothing_of_a_secret_is_shown(machine: Machine) -> None:
    machine.config(LAB)
    assert "lab-token" not in repr(machine.discover())


def test_a_gateway_that_is_down_is_found_by_its_config(machine: Machine) -> None:
    config = machine.config(LAB)
    machine.old_lock(config, is_alive=False)
    found = machine.discover()
    assert (found.url, found.pid, found.lock_created_at) == ("ws://127.0.0.1:20000", None, None)
    assert found.notes == ("No running gateway was seen: the url is the configured one.",)


@pytest.mark.parametrize(
    ("env", "config", "url"),
    [
        ({}, {}, "ws://127.0.0.1:18789"),
        ({}, {"port": 19001}, "ws://127.0.0.1:19001"),
        ({"OPENCLAW_GATEWAY_PORT": "19002"}, {"port": 19001}, "ws://127.0.0.1:19002"),
        ({"OPENCLAW_GATEWAY_PORT": "127.0.0.1:19003"}, {}, "ws://127.0.0.1:19003"),
        ({"OPENCLAW_GATEWAY_PORT": "[::1]:19004"}, {}, "ws://127.0.0.1:19004"),
        ({"OPENCLAW_GATEWAY_PORT": "nonsense"}, {"port": 19001}, "ws://127.0.0.1:19001"),
        ({"OPENCLAW_GATEWAY_PORT": "0"}, {}, "ws://127.0.0.1:18789"),
        ({"OPENCLAW_GATEWAY_PORT": "70000"}, {}, "ws://127.0.0.1:18789"),
        ({}, {"port": "19001"}, "ws://127.0.0.1:18789"),
        ({}, {"bind": "lan"}, "ws://127.0.0.1:18789"),
        ({}, {"bind": "tailnet"}, "ws://127.0.0.1:18789"),
        ({}, {"bind": "custom", "customBindHost": "10.0.0.5"}, "ws://10.0.0.5:18789"),
        ({}, {"bind": "custom", "customBindHost": "0.0.0.0"}, "ws://127.0.0.1:18789"),
        ({}, {"bind": "lan", "customBindHost": "10.0.0.5"}, "ws://127.0.0.1:18789"),
        ({}, {"tls": {"enabled": True}}, "wss://127.0.0.1:18789"),
        ({}, {"tls": {"enabled": "yes"}}, "ws://127.0.0.1:18789"),
    ],
)
def test_the_configured_url(machine: Machine, env: dict[str, str], config: dict[str, object], url: str) -> None:
    machine.env.update(env)
    machine.config(gateway_config(**config))
    assert machine.discover().url == url


@pytest.mark.parametrize(
    ("sockets", "url"),
    [
        ([("127.0.0.1", 19001), ("127.0.0.1", 19003)], "ws://127.0.0.1:19001"),  # started with --port 19001
        ([("127.0.0.1", 20000), ("0.0.0.0", 9999)], "ws://127.0.0.1:20000"),  # a plugin's own port beside ours
        ([("0.0.0.0", 19001)], "ws://127.0.0.1:19001"),
        ([("::", 19001)], "ws://127.0.0.1:19001"),
        ([("100.64.0.7", 20000), ("127.0.0.1", 20002)], "ws://100.64.0.7:20000"),  # bind: tailnet before 2026.9
        ([("::1", 20000)], "ws://[::1]:20000"),
        ([("127.0.0.1", 1), ("127.0.0.1", 5)], "ws://127.0.0.1:20000"),  # cannot tell: as configured
        ([], "ws://127.0.0.1:20000"),
    ],
)
def test_before_9_the_sockets_of_the_process_say_where_it_listens(
    machine: Machine, sockets: list[tuple[str, int]], url: str
) -> None:
    machine.old_lock(machine.config(LAB), pid=8481)
    machine.processes.sockets[8481] = tuple(sockets)
    found = machine.discover()
    assert found.url == url
    if "19001" in url:
        assert found.notes == ("It listens on port 19001, not on the configured 20000.",)


def test_the_lock_is_found_by_the_state_folder_when_the_config_was_named_to_the_gateway_only(machine: Machine) -> None:
    """``OPENCLAW_CONFIG_PATH=~/.openclaw/rescue.json openclaw gateway`` (multiple-gateways.md): we have no such variable."""
    machine.config(gateway_config(port=1))
    real = machine.config(gateway_config(port=2, auth={"token": "rescue"}), ".openclaw/rescue.json")
    machine.new_lock(real, machine.home / ".openclaw", 19789, name="gateway.state.lock")
    found = machine.discover()
    assert (found.url, token_of(found), found.config_path, found.name) == (
        "ws://127.0.0.1:19789",
        "rescue",
        real,
        "rescue",
    )
    assert found.notes == (f"The running gateway uses {real}, not {machine.home}/.openclaw/openclaw.json.",)


def test_a_config_named_to_us_is_binding(machine: Machine) -> None:
    other = machine.config(gateway_config(port=2), "other.json")
    machine.new_lock(machine.config(gateway_config(port=1)), machine.home / ".openclaw", 19789)
    machine.env["OPENCLAW_CONFIG_PATH"] = str(other)
    found = machine.discover()
    assert (found.url, found.pid, found.config_path) == ("ws://127.0.0.1:2", None, other)


def test_a_config_behind_a_link_is_the_same_config(machine: Machine) -> None:
    real = machine.config(LAB, "real/openclaw.json")
    (machine.home / ".openclaw").symlink_to(machine.home / "real")
    machine.old_lock(real, pid=8481)
    assert machine.discover().pid == 8481


def test_without_a_config_the_one_running_gateway_is_taken(machine: Machine) -> None:
    elsewhere = machine.root / "srv" / "claw"
    elsewhere.mkdir(parents=True)
    config = elsewhere / "openclaw.json"
    config.write_text('{gateway: {port: 20000, auth: {token: "t"}}}')
    machine.old_lock(config, pid=5)
    found = machine.discover()
    assert (found.pid, found.state_dir, found.name) == (5, elsewhere, "claw")
    assert "the one gateway that runs here" in found.notes[0]


def test_a_gateway_without_any_config_file_runs_on_defaults(machine: Machine) -> None:
    (machine.home / ".openclaw").mkdir()
    machine.new_lock(machine.home / ".openclaw" / "openclaw.json", machine.home / ".openclaw", 18789)
    machine.env["OPENCLAW_GATEWAY_TOKEN"] = "env-token"
    found = machine.discover()
    assert (found.url, token_of(found)) == ("ws://127.0.0.1:18789", "env-token")


def test_nothing_found_says_where_it_looked_and_what_to_do(machine: Machine) -> None:
    with pytest.raises(GatewayNotFound) as caught:
        machine.discover()
    assert str(caught.value) == (
        f"{machine.home}/.openclaw/openclaw.json: it does not exist and no gateway runs here; "
        "start OpenClaw, or set url: and token: under gateways: in watchdog.yaml."
    )


def test_of_several_running_gateways_none_is_guessed(machine: Machine) -> None:
    for name, pid in (("a", 1), ("b", 2)):
        machine.old_lock(machine.config(LAB, f"{name}/openclaw.json"), pid=pid)
    with pytest.raises(GatewayNotFound, match=r"other gateways run here .*set OPENCLAW_CONFIG_PATH to one of them"):
        machine.discover()


def test_an_explicit_config_that_is_missing_is_never_replaced(machine: Machine) -> None:
    machine.old_lock(machine.config(LAB), pid=1)
    machine.env["OPENCLAW_CONFIG_PATH"] = "~/typo.json"
    with pytest.raises(GatewayNotFound, match=r"typo\.json: it does not exist"):
        machine.discover()


def test_a_broken_or_unreadable_config_is_not_a_missing_one(machine: Machine) -> None:
    machine.old_lock(machine.config("{gateway: {", "other/openclaw.json"))
    machine.config("{gateway: {")
    with pytest.raises(ConfigBroken, match="line 1"):
        machine.discover()
    (machine.home / ".openclaw" / "openclaw.json").unlink()
    (machine.home / ".openclaw" / "openclaw.json").mkdir()
    with pytest.raises(ConfigUnreadable):
        machine.discover()


def test_a_credential_that_cannot_be_resolved_does_not_hide_the_gateway(machine: Machine) -> None:
    machine.config(gateway_config(auth={"token": {"source": "exec", "provider": "vault", "id": "x"}}))
    found = machine.discover()
    assert found.url == "ws://127.0.0.1:18789"
    assert found.token_source is not None
    with pytest.raises(CredentialUnavailable):
        found.token_source()


def test_variables_come_from_dotenv_files_and_the_config_too(machine: Machine) -> None:
    machine.config({"gateway": {"auth": {"token": "${A}${B}${C}"}}, "env": {"vars": {"C": "3"}}})
    (machine.home / ".openclaw" / ".env").write_text("A=1\n")
    machine.config("B=2\n", ".config/openclaw/gateway.env")
    assert token_of(machine.discover()) == "123"


def test_a_token_in_dotenv_is_a_token(machine: Machine) -> None:
    machine.config({"gateway": {"port": 7}})
    (machine.home / ".openclaw" / ".env").write_text("OPENCLAW_GATEWAY_TOKEN='from dotenv'\n")
    assert token_of(machine.discover()) == "from dotenv"


def test_no_credential_at_all_is_noted(machine: Machine) -> None:
    machine.config({"gateway": {"port": 7}})
    assert "No token or password was found in the configuration or the environment." in machine.discover().notes
    machine.config({"gateway": {"auth": {"mode": "none"}}})
    assert not any("No token" in note for note in machine.discover().notes)


def test_a_remote_gateway_has_no_files_here(machine: Machine) -> None:
    config = {"mode": "remote", "remote": {"url": "wss://host.example:443", "token": "r"}, "auth": {"token": "local"}}
    machine.old_lock(machine.config({"gateway": config}))
    found = machine.discover()
    assert (found.url, token_of(found), found.state_dir, found.pid) == ("wss://host.example:443", "r", None, None)
    machine.config({"gateway": {"mode": "remote"}})
    with pytest.raises(GatewayNotFound, match=r"gateway\.remote\.url"):
        machine.discover()


def test_the_temp_folder_comes_from_the_environment_handed_in(machine: Machine) -> None:
    machine.old_lock(machine.config(LAB), pid=8481)
    env = {"TMPDIR": str(machine.tmp)}
    assert discover(env, machine.home, machine.processes, uid=machine.uid).pid == 8481


# ---------------------------------------------------------------- all of them


def test_every_profile_is_found_once_with_its_own_token(machine: Machine) -> None:
    main = machine.config(gateway_config(port=1, auth={"token": "${OPENCLAW_GATEWAY_TOKEN}"}))
    work = machine.config(gateway_config(port=2, auth={"token": "work"}), ".openclaw-work/openclaw.json")
    machine.config(gateway_config(port=3, auth={"token": "${OPENCLAW_GATEWAY_TOKEN}"}), ".openclaw-third/openclaw.json")
    machine.env["OPENCLAW_GATEWAY_TOKEN"] = "main"
    machine.old_lock(main, pid=10)
    machine.new_lock(work, machine.home / ".openclaw-work", 22222, pid=11)
    found = machine.discover_all()
    assert found.problems == ()
    assert [(gateway.name, gateway.url, gateway.pid) for gateway in found.gateways] == [
        ("default", "ws://127.0.0.1:1", 10),
        ("third", "ws://127.0.0.1:3", None),
        ("work", "ws://127.0.0.1:22222", 11),
    ]
    default, third, work_gateway = found.gateways
    assert (token_of(default), token_of(work_gateway)) == ("main", "work")
    assert third.token_source is not None
    with pytest.raises(CredentialUnavailable):  # OPENCLAW_* speaks of the default gateway only
        third.token_source()


def test_live_locks_elsewhere_are_gateways_too_and_names_stay_apart(machine: Machine) -> None:
    machine.config(gateway_config(port=1))
    for name, port, pid in (("bob", 20000, 5), ("ann", 20020, 6)):
        config = machine.root / "homes" / name / ".openclaw" / "openclaw.json"
        config.parent.mkdir(parents=True)
        config.write_text(f"{{gateway: {{port: {port}, auth: {{token: '{name}'}}}}}}")
        machine.old_lock(config, pid=pid)
    machine.old_lock(machine.root / "gone" / "openclaw.json", pid=7, is_alive=False)
    found = machine.discover_all()
    assert [(gateway.name, gateway.pid, gateway.url) for gateway in found.gateways] == [
        ("default", None, "ws://127.0.0.1:1"),
        ("ann", 6, "ws://127.0.0.1:20020"),
        ("bob", 5, "ws://127.0.0.1:20000"),
    ]


def test_equal_names_get_their_port(machine: Machine) -> None:
    for run, port in (("x3", 20000), ("x4", 20020)):
        config = machine.root / run / "home2" / ".openclaw" / "openclaw.json"
        config.parent.mkdir(parents=True)
        config.write_text(f"{{gateway: {{port: {port}}}}}")
        machine.old_lock(config, pid=port)
    assert [gateway.name for gateway in machine.discover_all().gateways] == ["home2", "home2-20020"]


def test_of_two_configs_on_one_port_the_running_one_has_it(machine: Machine) -> None:
    machine.config(gateway_config(port=5))
    machine.old_lock(machine.config(gateway_config(port=5), ".openclaw-work/openclaw.json"), pid=9)
    assert [gateway.name for gateway in machine.discover_all().gateways] == ["work"]


def test_one_broken_profile_does_not_hide_the_others(machine: Machine) -> None:
    machine.config(gateway_config())
    machine.config("{gateway: ", ".openclaw-bad/openclaw.json")
    found = machine.discover_all()
    assert [gateway.name for gateway in found.gateways] == ["default"]
    assert [type(problem) for problem in found.problems] == [ConfigBroken]


def test_nothing_at_all_is_one_problem(machine: Machine) -> None:
    found = machine.discover_all()
    assert found.gateways == ()
    assert [type(problem) for problem in found.problems] == [GatewayNotFound]


def test_a_profile_without_a_port_has_the_one_openclaw_gives_it(machine: Machine) -> None:
    """FNV-1a of the name onto 20000..59999 (source of 2026.9.6, resolveGatewayPort); ``dev`` is 19001."""
    machine.config(gateway_config(), ".openclaw-work/openclaw.json")
    machine.config(gateway_config(), ".openclaw-dev/openclaw.json")
    ports = {gateway.name: gateway.url.rpartition(":")[2] for gateway in machine.discover_all().gateways}
    assert ports == {"dev": "19001", "work": str(fnv_port(b"work"))}


def fnv_port(name: bytes) -> int:
    digest = 0x811C9DC5
    for byte in name:
        digest = (digest ^ byte) * 0x01000193 % 2**32
    return 20000 + digest % 40000


def test_the_same_file_by_two_names_is_one_gateway(machine: Machine) -> None:
    config = machine.config(gateway_config())
    (machine.home / ".openclaw-alias").symlink_to(machine.home / ".openclaw")
    machine.env["OPENCLAW_CONFIG_PATH"] = str(config)
    assert len(machine.discover_all().gateways) == 1


# ---------------------------------------------------------------- whose it is

ALICE, BOB = 12001, 12002
by_root = pytest.mark.skipif(os.getuid() != 0, reason="gives files away, which needs root")


@pytest.fixture
def open_machine() -> Iterator[Machine]:
    """A machine whose folders every account may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        machine = Machine(root)
        machine.home.mkdir(mode=0o755)
        machine.tmp.mkdir()
        machine.tmp.chmod(0o1777)
        yield machine


def settle(machine: Machine, uid: int, config: object, pid: int, *, names: Path | None = None) -> Path:
    """A gateway of this account, or one that its lock says it has: with a home and a lock as 2026.3.24 writes it."""
    path = machine.config(config, f"../people/{uid}/.openclaw/openclaw.json")
    lock = machine.old_lock(names or path, pid=pid)
    folder = machine.tmp / f"openclaw-{uid}"
    folder.mkdir(exist_ok=True)
    lock = lock.rename(folder / lock.name)
    for owned in (path.parent.parent, path.parent, path, folder, lock):
        os.chown(owned, uid, uid)
    lock.chmod(0o664)
    machine.processes.private[uid] = uid
    machine.processes.owners[pid] = uid
    return path


@by_root
def test_root_watches_the_gateways_of_several_people_each_with_its_own_secret(open_machine: Machine) -> None:
    machine = open_machine
    settle(machine, ALICE, {"gateway": {"port": 1, "auth": {"token": "of alice"}}}, 11)
    settle(machine, BOB, {"gateway": {"port": 2, "auth": {"token": "of bob"}}}, 12)
    found = machine.discover_all()
    assert [(one.owner, one.url, token_of(one), one.pid) for one in found.gateways] == [
        (ALICE, "ws://127.0.0.1:1", "of alice", 11),
        (BOB, "ws://127.0.0.1:2", "of bob", 12),
    ]
    assert found.foreign == ()


@by_root
def test_who_names_the_configuration_or_the_port_of_another_takes_nothing_from_them(open_machine: Machine) -> None:
    machine = open_machine
    alice = settle(machine, ALICE, {"gateway": {"port": 1, "auth": {"token": "of alice"}}}, 11)
    settle(machine, BOB, {"gateway": {"port": 1, "auth": {"token": "of bob"}}}, 12, names=alice)
    found = machine.discover_all()
    assert [(one.owner, one.url, token_of(one), one.pid) for one in found.gateways] == [
        (ALICE, "ws://127.0.0.1:1", "of alice", 11)
    ]
    (said,) = found.foreign
    assert f"it is uid 12002's and names {alice}: the folder" in str(said)
    assert "/people/12001 belongs to uid 12001, not to uid 12002" in str(said)
    settle(machine, BOB, {"gateway": {"port": 1, "auth": {"token": "of bob"}}}, 12)
    found = machine.discover_all()
    assert sorted((one.owner or 0, one.url, token_of(one)) for one in found.gateways) == [
        (ALICE, "ws://127.0.0.1:1", "of alice"),
        (BOB, "ws://127.0.0.1:1", "of bob"),
    ], "whose port it is shows when connected"


@by_root
def test_a_process_of_another_account_is_not_the_gateway(open_machine: Machine) -> None:
    machine = open_machine
    settle(machine, ALICE, {"gateway": {"port": 1, "auth": {"token": "of alice"}}}, 11)
    machine.processes.owners[11] = BOB
    found = machine.discover_all()
    assert found.gateways == ()
    (said,) = found.foreign
    assert "names process 11 of uid 12002" in str(said)


@by_root
def test_a_place_that_is_named_may_be_anybodys(open_machine: Machine) -> None:
    """A service with an account of its own, or a side-car, beside a gateway of another account."""
    machine = open_machine
    config = settle(machine, ALICE, {"gateway": {"port": 1, "auth": {"token": "of alice"}}}, 11)
    config.parent.parent.chmod(0o777)
    env, here = {"OPENCLAW_STATE_DIR": str(config.parent)}, machine.processes
    for name, value in (("OPENCLAW_STATE_DIR", config.parent), ("OPENCLAW_CONFIG_PATH", config)):
        env = {name: str(value)}
        found = discover(env, machine.home, here, uid=BOB, tmp_dirs=(machine.tmp,))
        assert (found.owner, token_of(found)) == (ALICE, "of alice"), name
    with pytest.raises(ForeignFile, match=r"can be written by everybody|belongs to uid 12001"):
        discover({}, config.parent.parent, here, uid=BOB, tmp_dirs=(machine.tmp,))


def test_a_linked_state_folder_is_an_honest_set_up(machine: Machine) -> None:
    config = machine.config(LAB, "data/openclaw/openclaw.json")
    (machine.home / ".openclaw").symlink_to(config.parent)
    machine.new_lock(config, config.parent, 20060, pid=8490)
    found = machine.discover()
    assert (found.url, token_of(found), found.owner, found.foreign) == (
        "ws://127.0.0.1:20060",
        "lab-token",
        machine.uid,
        (),
    )


def test_a_lock_under_umask_002_goes_on_working(machine: Machine) -> None:
    config = machine.config(LAB)
    lock = machine.old_lock(config, pid=8481)
    lock.chmod(0o664)
    machine.processes.private[machine.uid] = lock.stat().st_gid
    assert (machine.discover().pid, machine.discover().foreign) == (8481, ())


def test_a_configuration_that_everybody_may_write_is_not_used(machine: Machine) -> None:
    config = machine.config(LAB)
    config.chmod(0o666)
    with pytest.raises(ForeignFile) as refused:
        machine.discover()
    assert str(refused.value) == (
        f"{config}: the file {config} can be written by everybody, not by uid {machine.uid} alone; it is not used: "
        f"chmod o-w {config}, or name the gateway by url and token in watchdog.yaml."
    )
    found = machine.discover_all()
    assert (found.gateways, [str(problem) for problem in found.problems]) == ((), [str(refused.value)])
    machine.env["OPENCLAW_CONFIG_PATH"] = str(config)
    assert token_of(machine.discover()) == "lab-token", "named"
