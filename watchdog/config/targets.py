"""What a list of targets says: Prometheus' ``[{"targets": ["host:port"], "labels": {"name": "a"}}]`` -> sections.

A target may be a whole ``ws://`` or ``wss://`` URL, too; without a scheme it is wss, on loopback ws. Of the labels ``name``
counts, and in a file ``token_file``; every other is somebody else's. Whoever writes such a list may mean harm, or write
nonsense: nothing of it is quoted, nothing of the environment is filled into an address, and names are those that a
configured gateway could have.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pydantic import ValidationError

from watchdog.config.checks import address_of
from watchdog.config.fields import REFUSAL
from watchdog.config.models import GatewaySection
from watchdog.core.loopback import is_loopback

MOST_TARGETS = 10_000
"""In one list; about twice what one process can watch."""

_TARGET = re.compile(
    r"(?:(?P<scheme>wss?)://)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?P<port>:\d{1,5})?(?P<path>/[A-Za-z0-9._~/-]{0,200})?",
    re.ASCII,
)
_NUMBER = re.compile(r"(?:^|\.)(?:\d+|0[xX][0-9A-Fa-f]*)\.?$")
"""How a host ends that is no name, but a number in one of the spellings that resolvers take for an address."""


class ListedGateway(GatewaySection):
    """The section of one gateway out of a list. It is shown what the list's section names for it, and no other secret."""


class ListUnreadable(Exception):
    """A list, or one target of it, cannot be used. The text is the end of a sentence, and quotes nothing of the list."""


class _Group(msgspec.Struct):
    targets: list[str]
    labels: dict[str, str] = {}


_DECODER = msgspec.json.Decoder(list[_Group])


@dataclass(frozen=True, slots=True)
class ReadList:
    """``targets``: sections with url, name and token_file. ``problems``: why others of it cannot be used."""

    targets: Sequence[GatewaySection]
    problems: Sequence[str] = ()


def read_targets(body: str | bytes, folder: Path | None, *, is_remote: bool = False) -> ReadList:
    """A list. ``folder``: of its file, where relative paths start; None: it came over http. ``is_remote``: from another
    machine. Raises ``ListUnreadable`` where it is none."""
    try:
        groups = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # whose texts may quote it
        raise ListUnreadable('is no list of targets: [{"targets": ["host:port"], "labels": {}}]') from None
    if sum(len(group.targets) for group in groups) > MOST_TARGETS:  # guard: lists: the length of a list
        raise ListUnreadable(f"names more than {MOST_TARGETS} gateways")
    found: dict[object, tuple[str, GatewaySection]] = {}
    problems: list[str] = []
    for number, group in enumerate(groups, 1):
        for place, target in enumerate(group.targets, 1):
            where = f"target {place} of entry {number}"
            try:
                one = _target(target, group.labels, folder, is_remote=is_remote)
            except ListUnreadable as problem:
                problems.append(f"{where} {problem}")
                continue
            earlier, first = found.setdefault(address_of(one), (where, one))
            if first != one:
                problems.append(f"{where} has the address of {earlier}")
    count = Counter(one.name for _, one in found.values())
    for where, one in found.values():
        if count[one.name] > 1:
            problems.append(f"{where} is called {one.name}, and so is another")
    return ReadList([one for _, one in found.values() if count[one.name] == 1], problems)


def _target(target: str, labels: Mapping[str, str], folder: Path | None, *, is_remote: bool) -> GatewaySection:
    parts = _TARGET.fullmatch(target)
    if parts is None:
        raise ListUnreadable("is neither host:port nor a ws:// or wss:// URL")
    host = parts["host"]
    if is_remote and _is_here(host):  # guard: lists: an inventory elsewhere names none of this machine
        raise ListUnreadable("is of this machine, which a list from another one cannot mean")
    scheme = parts["scheme"] or ("ws" if is_loopback(host) else "wss")
    place = f"{host}{parts['port'] or ''}{parts['path'] or ''}"
    given = {"url": f"{scheme}://{place}", "name": labels.get("name") or _name_of(place)}
    file = labels.get("token_file")  # an empty label is none, as Prometheus has it
    if file and folder is not None:  # guard: lists: http names no file of this machine
        # Nothing of the environment goes into a path that others write: it would be told with the path.
        plain = file.replace("${", "$${")
        given["token_file"] = plain if file.startswith(("/", "~")) else str(folder / plain)
    try:
        return GatewaySection.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = first["ctx"]["message"] if first["type"] == REFUSAL else "it does not fit"
        raise ListUnreadable(f"has no usable {first['loc'][0] if first['loc'] else 'address'}: {why}") from None


def _name_of(place: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", place).strip("-._")


def _is_here(host: str) -> bool:
    """This machine, or perhaps this machine in one of the spellings that only a resolver knows."""
    try:
        address = ipaddress.ip_address(host.strip("[]").rstrip("."))
    except ValueError:
        return is_loopback(host) or _NUMBER.search(host) is not None
    return is_loopback(host) or address.is_unspecified


def section_for(target: GatewaySection, section: GatewaySection) -> ListedGateway:
    """A target with what the section of its list says for all of them."""
    wanted, address = section.target_list, target.address
    assert wanted is not None
    assert address is not None
    token_file = target.token_file
    is_general = wanted.file is not None and token_file is None
    if is_general:
        token_file = section.token_file
    elif wanted.token_dir is not None:
        # guard: lists: the address decides on the token
        file = wanted.token_dir / _place_of(target)
        token_file = str(file).replace("${", "$${")
    return ListedGateway.model_construct(
        url=target.url,
        name=target.name,
        token=section.token if is_general else None,
        token_file=token_file,
        password=section.password if is_general else None,
        password_file=section.password_file if is_general else None,
        insecure=section.insecure,
        tls=section.tls if address.scheme == "wss" else None,
    )


def _place_of(target: GatewaySection) -> str:
    """``host:port``."""
    address = target.address
    assert address is not None
    host = address.hostname or ""
    port = address.port or (443 if address.scheme == "wss" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
