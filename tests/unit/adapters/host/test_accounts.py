"""What the system says of accounts, and whose the far end of a connection is."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import sys
from pathlib import Path

import pytest

from watchdog.adapters.host import LocalHost

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
HERE, THERE = ("127.0.0.1", 0xA1B2), ("127.0.0.1", 0x4965)


def row(local: str, remote: str, uid: int, inode: int = 99, state: str = "01") -> str:
    return f"   7: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid:5d}        0 {inode} 1 0 20 4 30 10 -1\n"


def machine(root: Path, tcp: str = "", tcp6: str | None = "") -> LocalHost:
    (root / "net").mkdir(exist_ok=True)
    (root / "net" / "tcp").write_text(HEAD + tcp)
    if tcp6 is not None:
        (root / "net" / "tcp6").write_text(HEAD + tcp6)
    return LocalHost(proc=root)


OF_GATEWAY, OURS = "0100007F:4965", "0100007F:A1B2"
MAPPED = "0000000000000000FFFF0000"


@pytest.mark.skipif(sys.byteorder != "little", reason="rows as a little-endian machine writes them")
def test_the_far_ends_row_and_no_other(tmp_path: Path) -> None:
    listener = row(OF_GATEWAY, "00000000:0000", 1, state="0A")
    elsewhere = row("0200007F:4965", OURS, 2) + row(OF_GATEWAY, "0200007F:A1B2", 3)
    own = row(OURS, OF_GATEWAY, 4)
    assert machine(tmp_path, listener + elsewhere + own).peer_owner(HERE, THERE) is None
    assert machine(tmp_path, listener + elsewhere + own + row(OF_GATEWAY, OURS, 5)).peer_owner(HERE, THERE) == 5
    half_closed = row(OF_GATEWAY, OURS, 6, state="05")
    assert machine(tmp_path, half_closed).peer_owner(HERE, THERE) == 6, "it can still hear us"
    gone = row(OF_GATEWAY, OURS, 0, inode=0, state="06")
    assert machine(tmp_path, gone).peer_owner(HERE, THERE) is None, "nobody has it open, and uid 0 means nothing there"


@pytest.mark.skipif(sys.byteorder != "little", reason="rows as a little-endian machine writes them")
def test_a_gateway_that_listens_on_both_families_has_its_row_among_those_of_ipv6(tmp_path: Path) -> None:
    both = machine(tmp_path, "", row(MAPPED + OF_GATEWAY, MAPPED + OURS, 5))
    assert both.peer_owner(HERE, THERE) == 5
    six = "000000000000000000000000"
    only6 = machine(tmp_path, "", row(f"{six}01000000:4965", f"{six}01000000:A1B2", 6))
    assert only6.peer_owner(("::1", HERE[1]), ("::1", THERE[1])) == 6
    assert only6.peer_owner(HERE, THERE) is None


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert LocalHost(proc=tmp_path).peer_owner(HERE, THERE) is None
    assert machine(tmp_path, "nonsense", None).peer_owner(HERE, THERE) is None
    assert machine(tmp_path).peer_owner(("no address", 1), THERE) is None
    assert LocalHost(platform="darwin").peer_owner(HERE, THERE) is None


@pytest.mark.parametrize(
    ("listens", "called"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")], ids=["v4", "v6", "both"]
)
def test_a_real_connection(host: LocalHost, listens: str, called: str) -> None:
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    try:
        listener = socket.create_server((listens, 0), family=family, dualstack_ipv6=listens == "::")
    except OSError:
        pytest.skip("no IPv6 here")
    with listener, socket.create_connection((called, listener.getsockname()[1])) as ours:
        accepted, _ = listener.accept()
        with accepted:
            assert host.peer_owner(ours.getsockname()[:2], ours.getpeername()[:2]) == os.getuid()


# ---------------------------------------------------------------- accounts


def test_names(host: LocalHost) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    assert host.account_name(os.getuid()) == f"{me} (uid {os.getuid()})"
    assert host.account_name(3_999_999_999) == "uid 3999999999"
    assert host.process_owner(os.getpid()) == os.getuid()
    assert host.process_owner(2**31 - 1) is None


def test_only_a_primary_group_without_other_members_is_an_accounts_own(host: LocalHost) -> None:
    for account in pwd.getpwall():
        shared = [
            other for other in pwd.getpwall() if other.pw_gid == account.pw_gid and other.pw_uid != account.pw_uid
        ]
        members = (
            grp.getgrgid(account.pw_gid).gr_mem if account.pw_gid in {one.gr_gid for one in grp.getgrall()} else []
        )
        expected = not [one for one in shared if one.pw_uid != 0] and set(members) <= {account.pw_name, "root"}
        assert host.is_private_group(account.pw_gid, account.pw_uid) is expected, account
        assert not host.is_private_group(account.pw_gid + 1, account.pw_uid)
    assert not host.is_private_group(3_999_999_999, 3_999_999_999)


@pytest.mark.parametrize(
    ("uid_map", "unmapped"),
    [
        ("         0          0 4294967295\n", None),
        ("         0       1000          1\n", 65533),
        ("         0          0      65536\n", 65533),
        ("", 65533),
    ],
    ids=["the first namespace", "one account", "the first 65536", "not mapped yet"],
)
def test_nobody_is_an_account_where_all_are_mapped(tmp_path: Path, uid_map: str, unmapped: int | None) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "uid_map").write_text(uid_map)
    (tmp_path / "sys" / "kernel").mkdir(parents=True)
    (tmp_path / "sys" / "kernel" / "overflowuid").write_text("65533\n")
    host = LocalHost(proc=tmp_path)
    assert [uid for uid in (0, 1000, 65533, 65534) if host.is_unmapped(uid)] == ([] if unmapped is None else [unmapped])
