"""Whose a file is: what is *found* on a machine is used only where everything on the way to it is of one hand.

The hand is one account's. Root may have its part in everything, because it could have anything anyway. An id that a user
namespace does not map proves nothing and is nobody's fault. What our own configuration or environment names is taken as
named: of its folders and modes nothing is asked.

Two questions, because two things can be stolen. May somebody else have *written* this: then it could send a secret to a
port of theirs. And does root read it *for* an account that may not read it itself: a link, or a path in that account's
configuration, would make root carry its own secrets to that account's port.

Paths are opened first and judged afterwards, and what was opened must be what the judged path leads to: between "/" and
the file there is then no place where anybody else could have exchanged something. Limits: access lists and NFS with
mapped users are not seen; of an account's groups only its own private one counts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

_MOST_LINKS = 40
"""As Linux has it."""


class Accounts(Protocol):
    """What is asked about the accounts of this machine. ``watchdog.adapters.host.LocalHost`` is one."""

    def account_name(self, uid: int) -> str:
        """``alice (uid 1000)``, or ``uid 1000`` where it has no name here."""
        ...

    def is_private_group(self, gid: int, uid: int, /) -> bool:
        """The group is this account's own (its primary one) and has no other members but root."""
        ...

    def is_unmapped(self, uid: int, /) -> bool:
        """The id stands for every account that our user namespace does not map."""
        ...


class OnlyNumbers:
    """``Accounts`` of whom nothing is known."""

    def account_name(self, uid: int) -> str:
        return f"uid {uid}"

    def is_private_group(self, _gid: int, _uid: int) -> bool:
        return False

    def is_unmapped(self, _uid: int) -> bool:
        return False


class NotTrusted(Exception):
    """A file is not used because of whose it is, or may be. ``problem`` and ``way_out`` are parts of one sentence."""

    def __init__(self, problem: str, way_out: str) -> None:
        super().__init__(f"{problem}; {way_out}")
        self.problem = problem
        self.way_out = way_out


@dataclass(frozen=True, slots=True)
class Owner:
    """The account whose files are read together. ``us``: the account we run as."""

    uid: int
    us: int
    accounts: Accounts = field(repr=False)
    is_named: bool = False
    """Our configuration or environment names the place: its folders and modes are taken as they are."""
    is_path_theirs: bool = False
    """The paths themselves were said by this account, so that all of the way must be one it may go itself."""

    def __str__(self) -> str:
        return self.accounts.account_name(self.uid)

    def by_its_word(self) -> Owner:
        """The same, for paths that this account itself has named."""
        return replace(self, is_path_theirs=True)

    def judge(self, path: Path, opened: os.stat_result | None = None) -> None:
        """Refuse what somebody else could have written, or what this account may not read. Raises ``NotTrusted``.

        ``opened``: what ``fstat`` says of the file that was opened there and read.
        """
        is_theirs, info = self.is_path_theirs, None
        for place, info in _way_to(path):
            self._judge_owner(place, info, is_asked=not self.is_named or is_theirs)
            if not self.is_named and not stat.S_ISLNK(info.st_mode):
                self._judge_mode(place, info)
            if is_theirs:
                self._judge_readable(place, info)
            is_theirs = is_theirs or info.st_uid == self.uid
        _is_the_same(path, info, opened)
        if not is_theirs and not self.is_named:  # nothing on the way is this account's: it is ours
            self.judge_readable(path, opened)

    def judge_readable(self, path: Path, opened: os.stat_result | None = None) -> None:
        """Refuse what this account may not read itself; whose it is does not matter. Raises ``NotTrusted``."""
        if self.uid == self.us:
            return
        info = None
        for place, info in _way_to(path):
            self._judge_readable(place, info)
        _is_the_same(path, info, opened)

    def is_hand(self, uid: int) -> bool:
        """This account, root, or an id that says nothing."""
        return uid in (self.uid, 0) or self.accounts.is_unmapped(uid)

    def _judge_owner(self, place: Path, info: os.stat_result, *, is_asked: bool) -> None:
        if is_asked and not self.is_hand(info.st_uid):
            raise NotTrusted(
                f"{_kind(info)} {shown(place)} belongs to {self.accounts.account_name(info.st_uid)}, not to {self}",
                f"it is not used: chown it to {self}, or name the gateway by url and token in watchdog.yaml",
            )

    def _judge_mode(self, place: Path, info: os.stat_result) -> None:
        mode = info.st_mode
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and self.is_hand(info.st_uid):
            return  # like /tmp: who may write there cannot touch what is of this hand
        if mode & stat.S_IWOTH:
            whose, way_out = "everybody", "o-w"
        elif mode & stat.S_IWGRP and not self._is_own_group(info.st_gid):
            whose, way_out = f"its group ({info.st_gid})", "g-w"
        else:
            return
        raise NotTrusted(
            f"{_kind(info)} {shown(place)} can be written by {whose}, not by {self} alone",
            f"it is not used: chmod {way_out} {shown(place)}, or name the gateway by url and token in watchdog.yaml",
        )

    def _judge_readable(self, place: Path, info: os.stat_result) -> None:
        mode = info.st_mode
        if self.uid in (self.us, info.st_uid) or stat.S_ISLNK(mode):
            return
        others, group = (stat.S_IXOTH, stat.S_IXGRP) if stat.S_ISDIR(mode) else (stat.S_IROTH, stat.S_IRGRP)
        if mode & others or (mode & group and self.accounts.is_private_group(info.st_gid, self.uid)):
            return
        raise NotTrusted(
            f"{_kind(info)} {shown(place)} is not for {self} to read, in whose name it would be read",
            f"it is not used: let {self} read it, or name the gateway by url and token in watchdog.yaml",
        )

    def _is_own_group(self, gid: int) -> bool:
        return gid == 0 or any(self.accounts.is_private_group(gid, uid) for uid in (self.uid, 0))


def owner_of(paths: Iterable[Path], us: int, accounts: Accounts, *, is_named: bool = False) -> Owner | None:
    """Whose these files are; None: named, and nothing tells whose.

    An account that is not root finds only its own. Root finds everybody's; root's own files are told from those that root
    has put there for another account by the first that is not root's.
    """
    if us != 0 and not is_named:
        return Owner(us, us, accounts)
    is_roots_alone = False
    for path in paths:
        try:
            info = path.stat()
        except (OSError, ValueError):
            continue
        if info.st_uid != 0 and not accounts.is_unmapped(info.st_uid):
            return Owner(info.st_uid, us, accounts, is_named)
        is_roots_alone = is_roots_alone or (stat.S_ISREG(info.st_mode) and info.st_mode & 0o077 == 0)
    if is_named and not (is_roots_alone and us == 0):
        return None
    return Owner(us, us, accounts, is_named)


def judge_own(path: Path, opened: os.stat_result, us: int, accounts: Accounts, *, with_folder: bool) -> None:
    """Refuse a configuration of ours that is not ours or root's, or that everybody may write. Raises ``NotTrusted``.

    ``with_folder``: the folder it was found in as well.
    """
    way_out = "name it with --config if it is meant"
    places = [(path, opened)]
    try:
        if stat.S_ISLNK((link := os.lstat(path)).st_mode):
            places.append((path, link))
        if with_folder:
            places.append((path.parent, path.parent.stat()))
    except OSError:
        raise NotTrusted("it changed while it was read", "try again") from None
    for place, info in places:
        what = "it" if place == path else f"its folder {shown(place)}"
        if info.st_uid not in (us, 0) and not accounts.is_unmapped(info.st_uid):
            whose, ours = accounts.account_name(info.st_uid), accounts.account_name(us)
            raise NotTrusted(f"{what} belongs to {whose}, not to {ours}, so it is not read", way_out)
        is_sticky = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX
        if info.st_mode & stat.S_IWOTH and not is_sticky and not stat.S_ISLNK(info.st_mode):
            raise NotTrusted(f"{what} can be written by everybody, so it is not read", f"chmod o-w, or {way_out}")


def shown(path: Path | str) -> str:
    """A path for a sentence: names that others gave may hold anything."""
    text = str(path)
    return text if text.isprintable() else text.encode("unicode_escape", "surrogatepass").decode("ascii")


def _kind(info: os.stat_result) -> str:
    if stat.S_ISLNK(info.st_mode):
        return "the link"
    return "the folder" if stat.S_ISDIR(info.st_mode) else "the file"


def _is_the_same(path: Path, info: os.stat_result | None, opened: os.stat_result | None) -> None:
    if opened is not None and (info is None or (info.st_dev, info.st_ino) != (opened.st_dev, opened.st_ino)):
        raise NotTrusted(f"{shown(path)} was exchanged while it was read", "it is looked at again by itself")


def _way_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every folder and link from "/" to ``path``, and in the end what it leads to, each as ``lstat`` has it."""
    try:
        here, ahead, links = Path("/"), list(reversed((Path.cwd() / path).parts[1:])), 0
        yield here, os.lstat(here)
        while ahead:
            part = ahead.pop()
            if part == "..":
                here = here.parent  # what leads here has no links in it any more
            if part in ("", ".", ".."):
                continue
            place = here / part
            info = os.lstat(place)
            yield place, info
            if not stat.S_ISLNK(info.st_mode):
                here = place
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError("too many links")
            target = str(place.readlink())
            if target.startswith("/"):
                here = Path("/")
            ahead += reversed(target.split("/"))
    except (OSError, ValueError):
        raise NotTrusted(f"{shown(path)} was exchanged while it was read", "it is looked at again by itself") from None
