"""Whose a file is: which owners, modes, folders and links are of one hand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.discovery.support import FakeAccounts
from watchdog.service.ownership import NotTrusted, Owner, judge_own, owner_of

US = os.getuid()
ALICE, BOB = 12001, 12002
by_root = pytest.mark.skipif(US != 0, reason="gives files away, which needs root")


def file_in(folder: Path, mode: int = 0o600, name: str = "openclaw.json") -> Path:
    path = folder / name
    path.write_text("{}")
    path.chmod(mode)
    return path


def ours(*, private: bool = False, named: bool = False) -> Owner:
    """Us, with a group of our own or with one that others share."""
    return Owner(US, US, FakeAccounts(private={US: 4242} if private else {}), is_named=named)


def refused(owner: Owner, path: Path) -> str:
    with pytest.raises(NotTrusted) as caught:
        owner.judge(path, path.stat())
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o755])
def test_what_nobody_else_can_write_is_ours(tmp_path: Path, mode: int) -> None:
    path = file_in(tmp_path, mode)
    ours().judge(path, path.stat())


@by_root
@pytest.mark.parametrize("mode", [0o660, 0o664])
def test_the_umask_of_debian_is_all_right_where_the_group_is_the_accounts_own(tmp_path: Path, mode: int) -> None:
    path = file_in(tmp_path, mode)
    os.chown(path, US, 4242)
    ours(private=True).judge(path, path.stat())
    assert "can be written by its group (4242)" in refused(ours(), path)


def test_what_everybody_can_write_is_not(tmp_path: Path) -> None:
    path = file_in(tmp_path, 0o666)
    assert refused(ours(private=True), path).endswith(
        f"chmod o-w {path}, or name the gateway by url and token in watchdog.yaml"
    )
    ours(named=True).judge(path, path.stat())


def test_a_folder_that_everybody_can_write_spoils_what_is_in_it_unless_it_is_sticky(tmp_path: Path) -> None:
    (tmp_path / "shared" / "mine").mkdir(parents=True)
    path = file_in(tmp_path / "shared" / "mine")
    (tmp_path / "shared").chmod(0o777)
    assert f"the folder {tmp_path}/shared can be written by everybody" in refused(ours(), path)
    (tmp_path / "shared").chmod(0o1777)
    ours().judge(path, path.stat())


def test_links_and_dots_are_followed_as_the_system_does(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    path = file_in(tmp_path / "real")
    (tmp_path / "linked").symlink_to("real/deep")
    ours().judge(tmp_path / "linked" / ".." / "openclaw.json", path.stat())
    (tmp_path / "real").chmod(0o777)
    assert f"the folder {tmp_path}/real can" in refused(ours(), tmp_path / "linked" / ".." / "openclaw.json")


def test_what_was_exchanged_after_it_was_opened_is_not_used(tmp_path: Path) -> None:
    opened = file_in(tmp_path).stat()
    (tmp_path / "openclaw.json").rename(tmp_path / "old")
    path = file_in(tmp_path)
    with pytest.raises(NotTrusted, match="was exchanged while it was read"):
        ours().judge(path, opened)
    path.unlink()
    with pytest.raises(NotTrusted, match="was exchanged while it was read"):
        ours().judge(path, opened)


def test_a_ring_of_links_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(NotTrusted):
        ours().judge(tmp_path / "a")


# ---------------------------------------------------------------- several accounts


@pytest.fixture
def home() -> Callable[[Path, int], Path]:
    def made(folder: Path, uid: int) -> Path:
        folder.mkdir(parents=True)
        os.chown(folder, uid, uid)
        folder.chmod(0o700)
        path = file_in(folder)
        os.chown(path, uid, uid)
        return path

    return made


Home = Callable[[Path, int], Path]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Every account may go there, unlike to pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@by_root
def test_of_two_accounts_neither_may_have_a_part_in_the_others(tmp_path: Path, home: Home) -> None:
    path = home(tmp_path / "alice", ALICE)
    Owner(ALICE, 0, FakeAccounts()).judge(path, path.stat())
    assert f"the folder {tmp_path}/alice belongs to uid 12001, not to uid 12002" in refused(
        Owner(BOB, 0, FakeAccounts()), path
    )
    os.chown(path, BOB, BOB)
    assert "the file" in refused(Owner(ALICE, 0, FakeAccounts()), path)
    os.chown(path, 0, 0)
    path.chmod(0o644)
    Owner(ALICE, ALICE, FakeAccounts()).judge(path, path.stat())


@by_root
def test_an_id_that_a_user_namespace_does_not_map_is_no_thief(tmp_path: Path, home: Home) -> None:
    path = home(tmp_path / "nobody", 65534)
    assert "belongs to uid 65534" in refused(Owner(ALICE, ALICE, FakeAccounts()), path)
    Owner(ALICE, ALICE, FakeAccounts(unmapped={65534})).judge(path, path.stat())


@by_root
def test_a_link_of_another_account_is_not_followed(tmp_path: Path, home: Home) -> None:
    path = home(tmp_path / "alice", ALICE)
    link = tmp_path / "link"
    link.symlink_to(path)
    Owner(ALICE, 0, FakeAccounts()).judge(link, path.stat())
    os.lchown(link, BOB, BOB)
    assert f"the link {link} belongs to uid 12002" in refused(Owner(ALICE, 0, FakeAccounts()), link)


@by_root
def test_root_reads_for_an_account_what_that_may_read_itself(open_folder: Path, home: Home) -> None:
    tmp_path = open_folder
    theirs = home(tmp_path / "alice", ALICE).parent
    secret = file_in(tmp_path, 0o640, "of-root")
    os.chown(secret, 0, 4242)
    link = theirs / "link"
    link.symlink_to(secret)
    os.lchown(link, ALICE, ALICE)
    alice = Owner(ALICE, 0, FakeAccounts())
    assert f"the file {secret} is not for uid 12001 to read" in refused(alice, link)
    Owner(ALICE, 0, FakeAccounts(private={ALICE: 4242})).judge(link, secret.stat())
    secret.chmod(0o644)
    alice.judge(link, secret.stat())
    tmp_path.chmod(0o700)
    assert "is not for uid 12001 to read" in refused(alice, link), "it may not even go there"
    Owner(0, 0, FakeAccounts()).judge(secret, secret.stat())


# ---------------------------------------------------------------- whose it is


def test_without_root_everything_found_must_be_ours(tmp_path: Path) -> None:
    assert owner_of((tmp_path,), 12345, FakeAccounts()) == Owner(12345, 12345, FakeAccounts())


@by_root
def test_the_first_that_is_not_roots_says_whose_it_is(tmp_path: Path, home: Home) -> None:
    path = home(tmp_path / "alice", ALICE)
    accounts = FakeAccounts()
    assert owner_of((path, path.parent), 0, accounts) == Owner(ALICE, 0, accounts)
    os.chown(path, 0, 0)
    assert owner_of((path, path.parent), 0, accounts) == Owner(ALICE, 0, accounts)
    assert owner_of((path,), 0, accounts) == Owner(0, 0, accounts)
    assert owner_of((path,), 0, accounts, is_named=True) == Owner(0, 0, accounts, is_named=True), "root's alone"
    path.chmod(0o644)
    assert owner_of((path,), 0, accounts, is_named=True) is None, "mounted by root, for whomever"
    assert owner_of((path,), BOB, accounts, is_named=True) is None
    assert owner_of((path.parent,), BOB, accounts, is_named=True) == Owner(ALICE, BOB, accounts, is_named=True)


# ---------------------------------------------------------------- our own configuration


def test_a_configuration_of_ours_that_everybody_may_write_is_not_read(tmp_path: Path) -> None:
    path = file_in(tmp_path, 0o666)
    with pytest.raises(NotTrusted, match="it can be written by everybody"):
        judge_own(path, path.stat(), US, FakeAccounts(), with_folder=False)
    path.chmod(0o664)
    judge_own(path, path.stat(), US, FakeAccounts(), with_folder=True)
    tmp_path.chmod(0o777)
    judge_own(path, path.stat(), US, FakeAccounts(), with_folder=False)
    with pytest.raises(NotTrusted, match=r"its folder .* can be written by everybody"):
        judge_own(path, path.stat(), US, FakeAccounts(), with_folder=True)
