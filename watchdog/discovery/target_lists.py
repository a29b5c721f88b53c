"""Which gateways a section with ``discover: {file: …}`` or ``{http: …}`` stands for, and how that follows the list.

What stands in a list may be wrong, cut off, or written by somebody who means harm (``config.targets`` reads it). So what is
watched goes on being watched until a list that can be read in full does not name it any more; a list without any gateway,
and a file that is gone, has to say so twice, ``every`` apart. What our own configuration says, and what was found on this
machine, keeps its name, and what our own configuration says its address. A list that comes over http decides on no secret: the token of an address is in the
file of ``token_dir`` that is called like that address.

Limit: the last good list is kept in memory. One that cannot be read when this process starts stands for nothing until it can.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from watchdog import PROGRAM
from watchdog.config import GatewaySection, LoadedConfig
from watchdog.config.checks import Address, address_of, is_in_the_clear
from watchdog.config.references import MissingVariableError, expand
from watchdog.config.targets import MOST_TARGETS, ListUnreadable, ReadList, read_targets, section_for
from watchdog.core.loopback import is_loopback
from watchdog.core.model import Moment
from watchdog.discovery.openclaw_config import DiscoveryError, open_text
from watchdog.service.events import Event, Log
from watchdog.service.ownership import Accounts, NotTrusted, judge_own, shown
from watchdog.service.ports import Clock

LARGEST = 8 * 1024 * 1024
"""Bytes of an answer."""
PATIENCE = 10.0
"""Seconds for one answer, from the connection to its last byte."""
MOST_PROBLEMS = 5
"""Of one section; the rest is counted."""


@dataclass(slots=True)
class _Source:
    """One file, or one address, and what it said last."""

    read_at: Moment | None = None
    good: Sequence[GatewaySection] = ()
    was_empty: bool = False
    problems: Sequence[str] = ()


@dataclass(slots=True)
class TargetLists:
    """``spelled_out`` is one look. Blocks for as long as ``PATIENCE`` for each http list: give it a thread of its own."""

    env: Mapping[str, str] = field(repr=False)
    accounts: Accounts
    clock: Clock
    log: Log
    problems: Sequence[str] = ()
    """What the last look could not use, for people."""
    is_blind: bool = False
    """Of some list nothing could be read, now or before."""
    _sources: dict[str, _Source] = field(default_factory=dict, repr=False)

    def spelled_out(self, loaded: LoadedConfig, taken: Collection[str] = ()) -> LoadedConfig:
        """``loaded`` with a section for each target of its lists, after all others, in place of the lists.

        ``taken``: further names that nobody may take. Without a list, ``loaded`` itself.
        """
        lists = [(at, one) for at, one in enumerate(loaded.config.gateways) if one.target_list is not None]
        own = [section for section in loaded.config.gateways if section.target_list is None]
        names = {*taken, *(section.name for section in own)}
        addresses: dict[Address | None, str] = {address_of(one): one.name for one in own if one.url is not None}
        listed: list[GatewaySection] = []
        found: list[str] = []
        used: set[str] = set()
        is_blind = False
        for position, section in lists:
            targets, problems = self._read(section, used)
            is_blind = is_blind or bool(problems and not targets)
            for target in targets:
                one = section_for(target, section)
                address = address_of(one)
                if is_in_the_clear(one):
                    problems.append(f"{one.name} is on another machine, where ws:// sends its token in the clear")
                elif address in addresses:  # guard: lists: an address belongs to who has it
                    problems.append(f"{one.name} has the address of {addresses[address]}")
                elif one.name in names:  # guard: lists: a name belongs to who has it
                    problems.append(f"another gateway is called {one.name}")
                else:
                    names.add(one.name)
                    addresses[address] = one.name
                    listed.append(one)
            found += self._placed(loaded, position, problems)
        for gone in self._sources.keys() - used:
            del self._sources[gone]
        self._say(found)
        self.is_blind = is_blind
        if not lists:
            return loaded
        # Of two names for one gateway the later is not watched.
        gateways = (*own, *listed)  # guard: lists: what a list names comes last
        return replace(loaded, config=loaded.config.model_copy(update={"gateways": gateways}))

    @staticmethod
    def _placed(loaded: LoadedConfig, position: int, problems: Iterable[str]) -> Sequence[str]:
        said = list(dict.fromkeys(problems))
        if len(said) > MOST_PROBLEMS:
            said[MOST_PROBLEMS:] = [f"and {len(said) - MOST_PROBLEMS} more like these"]
        at = ("gateways", position, "discover")
        return [str(loaded.problem_at(at, f"not all of this list is used: {one}")) for one in said]

    def _say(self, found: Sequence[str]) -> None:
        """Once, and again when it was well in between."""
        for problem in found:
            if problem not in self.problems:
                self.log.event(
                    Event.CONFIG_REFUSED, reason=problem, in_force="what was read of the list before, if anything"
                )
        self.problems = found

    # ---------------------------------------------------------------- reading

    def _read(self, section: GatewaySection, used: set[str]) -> tuple[Sequence[GatewaySection], list[str]]:
        """What the list of one section names now, and what is wrong with it. ``used`` takes where it stands."""
        wanted, now = section.target_list, self.clock.now()
        assert wanted is not None
        problems: list[str] = []
        places = [wanted.http.get_secret_value()] if wanted.http is not None else []
        if wanted.file is not None:
            known = [place for place in self._sources if _matches(Path(place), wanted.file)]
            try:
                places = sorted({*map(str, _files(wanted.file)), *known})
            except OSError as error:  # guard: lists: a folder that cannot be read keeps its lists
                reason = (error.strerror or type(error).__name__).lower()
                used.update(known)
                return self._kept(known), [f"the folder {shown(wanted.file.parent)} cannot be read ({reason})"]
            if not places:
                problems.append(f"no file is called {shown(wanted.file)}")
        for place in places:
            source = self._sources.setdefault(place, _Source())
            if source.read_at is None or now.since(source.read_at) >= wanted.every:
                source.read_at = now
                self._look(source, place, section)
            is_gone = wanted.file is not None and not os.path.exists(place)  # noqa: PTH110 - Path.exists may raise
            if source.was_empty and not source.good and is_gone:
                del self._sources[place]
                continue
            used.add(place)
            problems += source.problems
        return self._kept(places), problems

    def _kept(self, places: Iterable[str]) -> Sequence[GatewaySection]:
        return [one for place in places if place in self._sources for one in self._sources[place].good]

    def _look(self, source: _Source, place: str, section: GatewaySection) -> None:
        is_file = section.target_list is not None and section.target_list.file is not None
        what = shown(place) if is_file else "the answer"
        try:
            read = self._opened(Path(place)) if is_file else self._fetched(place, insecure=section.insecure)
        except ListUnreadable as problem:  # guard: lists: an error lets go of nobody
            source.was_empty, source.problems = False, [f"{what} {problem}"]
            return
        source.problems = [f"{what}: {problem}" for problem in read.problems]
        if read.targets or read.problems:
            source.was_empty = False
            source.good = _merged(source.good, read)
            return
        was_empty, source.was_empty = source.was_empty, True
        if source.good and not was_empty:  # guard: lists: an empty list has to say so twice
            source.problems = [f"{what} names no gateway; if it does not next time, those it named are let go of"]
            return
        source.good = ()

    def _opened(self, file: Path) -> ReadList:
        """One that is gone is empty: it may be being replaced. Raises ``ListUnreadable``."""
        try:
            text, opened = open_text(file)
            # guard: lists: a file of somebody else's names nothing
            judge_own(file, opened, os.geteuid(), self.accounts, with_folder=True)
        except FileNotFoundError:
            return ReadList(())
        except NotTrusted as reason:
            raise ListUnreadable(f"is not used: {reason.problem}") from None
        except DiscoveryError as error:
            raise ListUnreadable(error.problem) from None
        return read_targets(text, file.parent)

    def _fetched(self, reference: str, *, insecure: bool) -> ReadList:
        """Raises ``ListUnreadable``."""
        try:
            url = expand(reference, self.env).strip()
            host, scheme = urlsplit(url).hostname, urlsplit(url).scheme
        except MissingVariableError as missing:
            raise ListUnreadable(f"cannot be asked for: {missing}") from None
        except ValueError:
            raise ListUnreadable("cannot be asked for: the address is no URL") from None
        is_remote = not is_loopback(host)
        if scheme != "https" and is_remote and not insecure:  # guard: lists: nobody changes a list on its way
            raise ListUnreadable("could be changed on its way: use https://, or say insecure: true")
        with ThreadPoolExecutor(1) as apart:  # an event loop of its own: whoever asks may be in one
            body = apart.submit(asyncio.run, _get(url, is_remote=is_remote)).result()
        return read_targets(body, None, is_remote=is_remote)


def _merged(before: Sequence[GatewaySection], read: ReadList) -> Sequence[GatewaySection]:
    """What a list names; as long as a part of it cannot be used, also what it named before, which may be that part."""
    if not read.problems:  # guard: lists: what cannot be read lets go of nobody
        return read.targets
    addresses = {address_of(one) for one in read.targets}
    names = {one.name for one in read.targets}
    kept = [one for one in before if address_of(one) not in addresses and one.name not in names]
    return [*kept[: MOST_TARGETS - len(read.targets)], *read.targets]


async def _get(url: str, *, is_remote: bool) -> bytes:
    """Raises ``ListUnreadable``."""
    import httpx

    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": PROGRAM}
    try:
        # A redirect may lead where whoever answers could not get by himself: none is followed.
        async with (
            asyncio.timeout(PATIENCE),
            httpx.AsyncClient(
                timeout=PATIENCE,
                headers=headers,
                trust_env=is_remote,
                follow_redirects=False,  # guard: lists: a redirect is not followed
            ) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code != httpx.codes.OK:  # guard: lists: an error is no list
                raise ListUnreadable(f"is no list, but status {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_raw():
                body += part
                if len(body) > LARGEST:  # guard: lists: the size of an answer
                    raise ListUnreadable(f"is larger than {LARGEST // 1024**2} MiB")
            return bytes(body)
    except TimeoutError:
        raise ListUnreadable(f"did not come within {PATIENCE:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:  # whose texts hold the address
        raise ListUnreadable(f"did not come ({type(error).__name__})") from None


def _files(pattern: Path) -> Sequence[Path]:
    """The files that are there now. Raises ``OSError`` where that cannot be seen."""
    with os.scandir(pattern.parent) as entries:
        return [path for entry in entries if _matches(path := pattern.parent / entry.name, pattern)]


def _matches(file: Path, pattern: Path) -> bool:
    """As a shell has it: without hidden copies of editors, unless they are asked for."""
    is_hidden = file.name.startswith(".") and not pattern.name.startswith(".")
    return file.parent == pattern.parent and not is_hidden and fnmatchcase(file.name, pattern.name)
