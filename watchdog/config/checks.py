"""What several settings must agree on: refused (``findings``) or only remarked on (``remarks``).

Everything here reads a ``Config`` whose single values are already sound, and answers with places in the file; the
caller turns places into lines. Remarks are things that load but probably do not do what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from watchdog.config import sections
from watchdog.config.durations import spell
from watchdog.config.models import Config, GatewaySection, TargetList
from watchdog.config.policybook import DEFAULT_POLICY, merged, policy_name
from watchdog.config.problems import KeyPath, quoted, suggestion
from watchdog.core import policy as core
from watchdog.core.loopback import is_loopback
from watchdog.core.texts import PLACEHOLDERS

FLOORS = {
    "stuck_after": timedelta(minutes=2),
    "confirm_for": timedelta(seconds=5),
    "startup_grace": timedelta(seconds=30),
}
MIN_DOWN_FLOOR = timedelta(minutes=2)
TERM_FLOOR = timedelta(seconds=15)
POLL_FLOOR = timedelta(seconds=1)
REMIND_FLOOR = timedelta(minutes=10)
_FOR_TESTS = "for tests: allow_short_thresholds: true"


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """Something at ``path``."""

    path: KeyPath
    message: str
    hint: str | None = None
    related: tuple[KeyPath, ...] = ()
    """Other settings it follows from: where to point when the file does not have ``path`` itself."""
    rests_on: tuple[KeyPath, ...] = ()
    """Further settings that must be sound for this to mean anything."""
    at_key: bool = False
    """Point at the key, because having it at all is what is wrong."""
    beside: KeyPath | None = None
    """The other half of a disagreement; its place in the file ends the message."""


Address = tuple[str, int, str]
"""Host, port and path of a gateway, spelled in one way."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1")
"""Names under which a gateway of this machine is reached. 127.0.0.2 is another address, where another may listen."""


def address_of(gateway: GatewaySection) -> Address | None:
    """Where its url leads, however it is spelled; with TLS or without, a port has one gateway. A path counts, because a
    reverse proxy may have several gateways behind one host. None: it has no url."""
    parts = gateway.address
    if parts is None:
        return None
    host = (parts.hostname or "").rstrip(".")
    port = parts.port if parts.port is not None else 443 if parts.scheme == "wss" else 80
    return ("localhost" if host in _THIS_MACHINE else host, port, parts.path.rstrip("/"))


def findings(config: Config) -> Iterator[ConfigProblem]:
    """Every disagreement that is refused."""
    yield from _gateways(config.gateways)
    yield from _reached_twice(config.gateways)
    yield from _timing(config)
    yield from _recovery(config.recovery, ("recovery",))
    yield from _texts(config.texts, ("texts",))
    for position, policy in enumerate(config.policies):
        yield from _recovery(policy.recovery, ("policies", position, "recovery"))
        yield from _texts(policy.texts, ("policies", position, "texts"))
    yield from _policies(config.policies)
    yield from _gateway_restart(config)
    yield from _targets(config)
    yield from _replicas(config)


def _replicas(config: Config) -> Iterator[ConfigProblem]:
    section = config.replicas
    if section is None:
        return
    if config.ledger is None:
        message = "replicas share the gateways through a ledger in PostgreSQL, and none is given"
        yield ConfigProblem(("replicas",), message, "add ledger: postgresql://...", at_key=True)
    if section.term < TERM_FLOOR and not config.allow_short_thresholds:
        message = f"term ({spell(section.term)}) is short for a network and a database that take their time"
        yield ConfigProblem(("replicas", "term"), message, f"at least {spell(TERM_FLOOR)}")
    if config.gateway_restart is not None:
        message = "gateway_restart is one daemon's business, and replicas share the gateways"
        yield ConfigProblem(("gateway_restart",), message, "leave it to a service manager", at_key=True)
    for position, gateway in enumerate(config.gateways):
        # guard: shares: a name means one gateway, whichever replica watches it
        if gateway.url is None and gateway.target_list is None:
            at: KeyPath = ("gateways", position, "discover") if gateway.discover else ("gateways", position)
            message = f"{quoted(gateway.name)} is found on each replica's own machine, so it would be another gateway for each"
            yield ConfigProblem(at, message, "give its url, or a list", related=(("replicas",),), at_key=True)


def _gateways(gateways: Sequence[GatewaySection]) -> Iterator[ConfigProblem]:
    if not gateways:
        yield ConfigProblem(("gateways",), "gateways: the list is empty", "leave it out to discover the local gateway")
    first: dict[str, int] = {}
    for position, gateway in enumerate(gateways):
        at: KeyPath = ("gateways", position)
        targets = gateway.target_list
        if targets is not None:
            yield from _target_list(gateway, targets, at)
            if any(targets == earlier.target_list for earlier in gateways[:position]):
                yield ConfigProblem((*at, "discover"), "this list is given twice", "keep one", at_key=True)
        elif gateway.name in first:
            message = f"two gateways are called {quoted(gateway.name)}"
            others = tuple(("gateways", first[gateway.name], field) for field in ("name", "url"))
            yield ConfigProblem((*at, "name"), message, "give each a name of its own", rests_on=(*others, (*at, "url")))
        if targets is None:
            first.setdefault(gateway.name, position)
        if (
            gateway.discover
            and targets is None
            and gateway.discover in (earlier.discover for earlier in gateways[:position])
        ):
            message = "discover: local is given twice, and once stands for every gateway of this machine"
            yield ConfigProblem((*at, "discover"), message, "keep one", at_key=True)
        if gateway.url and gateway.discover:
            yield ConfigProblem((*at, "discover"), "url and discover are both given", "keep one", at_key=True)
        for one, other in (("token", "token_file"), ("password", "password_file")):
            if getattr(gateway, one) and getattr(gateway, other):
                yield ConfigProblem((*at, other), f"{one} and {other} are both given", "keep one", at_key=True)
        if (gateway.token or gateway.token_file) and (gateway.password or gateway.password_file):
            which = "password" if gateway.password else "password_file"
            yield ConfigProblem((*at, which), "a token and a password are both given", "keep one", at_key=True)
        address = gateway.address
        if is_in_the_clear(gateway):
            message = "ws:// to another machine sends the token in the clear"
            hint = "use wss://, or an ssh tunnel to 127.0.0.1, or say insecure: true"
            yield ConfigProblem((*at, "url"), message, hint)
        if address and address.scheme == "wss" and gateway.insecure:
            message = "insecure has no effect on wss://: certificates are always checked"
            yield ConfigProblem((*at, "insecure"), message, "leave it out")
        if gateway.tls is not None and not (gateway.tls.ca_file or gateway.tls.fingerprint):
            yield ConfigProblem((*at, "tls"), "tls names nothing to check by", "give ca_file or fingerprint")
        if gateway.tls is not None and address and address.scheme == "ws":
            yield ConfigProblem(
                (*at, "tls"), "tls has no effect on ws://: nothing is encrypted", "leave it out, or use wss://"
            )


def is_in_the_clear(gateway: GatewaySection) -> bool:
    """Its token would be readable on the way to another machine, and nobody said that this is meant."""
    address = gateway.address
    is_plain = address is not None and address.scheme == "ws" and not is_loopback(address.hostname)
    return is_plain and not gateway.insecure


def _target_list(gateway: GatewaySection, targets: TargetList, at: KeyPath) -> Iterator[ConfigProblem]:
    """A section that stands for the gateways of a list."""
    place: KeyPath = (*at, "discover")
    if (targets.file is None) is (targets.http is None):
        yield ConfigProblem(place, "a list is either a file or an http address", "give one of them")
        return
    if targets.file is not None and re.search(r"[*?\[]", str(targets.file.parent)):
        message = "file: only the last part of the path may hold * and ?"
        yield ConfigProblem((*place, "file"), message, "e.g. /etc/openclaw-watchdog/gateways.d/*.json")
    if targets.file is not None and targets.token_dir is not None:
        message = "token_dir has no effect on a file, which names a token_file for each gateway"
        yield ConfigProblem((*place, "token_dir"), message, "leave it out", at_key=True)
    for name in ("name", "state_dir"):
        if name in gateway.model_fields_set:
            message = f"{name} is one gateway's, and a list stands for many"
            yield ConfigProblem((*at, name), message, "leave it out; a list gives each its own name", at_key=True)
    for name in ("token", "token_file", "password", "password_file"):
        # guard: lists: no secret for every host that an inventory names
        if targets.http is not None and getattr(gateway, name) is not None:
            message = f"{name} would be sent to whatever host that list names"
            yield ConfigProblem((*at, name), message, "token_dir has one token for each address", at_key=True)


def _reached_twice(gateways: Sequence[GatewaySection]) -> Iterator[ConfigProblem]:
    """Sections that surely lead to one gateway: each would watch it, and act on it, for itself."""
    first: dict[Address | None, int] = {}
    for position, gateway in enumerate(gateways):
        if gateway.url is None and gateway.discover is not None:
            continue  # whom it stands for is found out on the machine, without those that another section names
        address = address_of(gateway)
        earlier = first.setdefault(address, position)
        if earlier == position:  # guard: single: two sections whose addresses say so
            continue
        other, here = ("gateways", earlier), ("gateways", position)
        name = quoted(gateways[earlier].name)
        if address is None:
            message = f"no url: this is the gateway that the environment means, and so is {name}"
        else:
            message = f"this url reaches the same gateway as {name}"
        hint = "one section for each gateway: keep one"
        sound = ((*other, "url"), (*other, "name"), (*other, "discover"), (*here, "discover"))
        at = here if address is None else (*here, "url")
        yield ConfigProblem(at, message, hint, rests_on=sound, beside=other if address is None else (*other, "url"))


def _timing(config: Config) -> Iterator[ConfigProblem]:
    if config.poll_every < POLL_FLOOR and not config.allow_short_thresholds:
        message = f"poll_every ({spell(config.poll_every)}) is below its floor of {spell(POLL_FLOOR)}"
        hint = f"to ask more often keeps a gateway from its work; {_FOR_TESTS}"
        yield ConfigProblem(("poll_every",), message, hint, related=(("allow_short_thresholds",),))
    yield from _thresholds(config, config.thresholds, ("thresholds",), is_top=True)
    for position, policy in enumerate(config.policies):
        yield from _thresholds(config, policy.thresholds, ("policies", position, "thresholds"), is_top=False)
    if config.full_sweep_every < config.poll_every:
        message = f"full_sweep_every ({spell(config.full_sweep_every)}) is shorter than poll_every"
        hint = f"at least {spell(config.poll_every)}"
        yield ConfigProblem(("full_sweep_every",), message, hint, related=(("poll_every",),))
    longest, where = max(_windows(config), key=lambda window: window[0])
    if config.ledger_retention < longest:
        message = (
            f"ledger_retention ({spell(config.ledger_retention)}) would forget attempts that a budget still counts"
        )
        yield ConfigProblem(("ledger_retention",), message, f"at least {spell(longest)}", related=(where,))


def _thresholds(
    config: Config, section: sections.ThresholdsSection, at: KeyPath, *, is_top: bool
) -> Iterator[ConfigProblem]:
    said = section.model_fields_set
    for name, floor in FLOORS.items():
        value: timedelta = getattr(section, name)
        if name in said and value < floor and not config.allow_short_thresholds:
            message = f"{name} ({spell(value)}) is below its floor of {spell(floor)}"
            hint = f"short thresholds touch sessions that are only slow; {_FOR_TESTS}"
            yield ConfigProblem((*at, name), message, hint, related=(("allow_short_thresholds",),))
    polls = 3 * config.poll_every
    if (is_top or "stuck_after" in said) and section.stuck_after < polls:
        message = f"stuck_after ({spell(section.stuck_after)}) is less than 3 x poll_every ({spell(config.poll_every)})"
        hint = f"at least {spell(polls)}, or poll more often"
        yield ConfigProblem((*at, "stuck_after"), message, hint, related=(("poll_every",),))


def _windows(config: Config) -> Iterator[tuple[timedelta, KeyPath]]:
    """The length of every budget's window, and where it is said."""
    base = merged(core.Recovery(), config.recovery)
    places: list[tuple[KeyPath, core.Recovery]] = [(("recovery",), base)]
    for position, policy in enumerate(config.policies):
        places.append((("policies", position, "recovery"), merged(base, policy.recovery)))
    for at, recovery in places:
        yield recovery.budget.per, (*at, "budget", "per")
        yield recovery.gateway_budget.per, (*at, "gateway_budget", "per")


def _recovery(recovery: sections.RecoverySection, at: KeyPath) -> Iterator[ConfigProblem]:
    if not recovery.ladder:
        yield ConfigProblem((*at, "ladder"), "ladder: the list is empty", "to only tell a person: [notify]")
    if not recovery.backoff:
        yield ConfigProblem((*at, "backoff"), "backoff: the list is empty", "at least one wait, e.g. [5m]")
    if core.Step.NOTIFY in recovery.ladder[:-1]:
        position = recovery.ladder.index(core.Step.NOTIFY) + 1
        message = f"{quoted(recovery.ladder[position])} stands after 'notify', where the ladder ends"
        yield ConfigProblem((*at, "ladder", position), message, "put notify last")


def _texts(texts: sections.TextsSection, at: KeyPath) -> Iterator[ConfigProblem]:
    for name, known in PLACEHOLDERS.items():
        text: str | None = getattr(texts, name)
        if text is not None:
            yield from _placeholders(text, (*at, name), known)
    if texts.fresh_session is not None and not texts.fresh_session.replace("{request}", "").strip():
        message = "fresh_session: nothing is left of this text where no request is quoted"
        yield ConfigProblem((*at, "fresh_session"), message, "add a few words of your own")


def _placeholders(text: str, at: KeyPath, known: Sequence[str]) -> Iterator[ConfigProblem]:
    """A person would read it as it is, or nothing in its place."""
    found = re.findall(r"\{\s*[^\W\d]\w*\s*\}", text)
    for placeholder in dict.fromkeys(word for word in found if word[1:-1] not in known):
        message = f"{at[-1]}: {quoted(placeholder)} is not filled in here"
        yield ConfigProblem(at, message, f"filled in: {', '.join(f'{{{word}}}' for word in known)}")


def _policies(policies: Sequence[sections.PolicySection]) -> Iterator[ConfigProblem]:
    taken: set[str] = set()
    for position, policy in enumerate(policies):
        name = policy_name(policy, position)
        if name == DEFAULT_POLICY:
            message = "'default' is what thresholds and recovery at the top are called"
            yield ConfigProblem(("policies", position, "name"), message, "choose another name")
        elif name in taken:
            message = f"two policies are called {quoted(name)}"
            yield ConfigProblem(("policies", position, "name"), message, "give each a name of its own")
        taken.add(name)
        if all(getattr(policy.match, field) is None for field in sections.MatchSection.model_fields):
            message = "this policy has no match, so it would be for every session"
            hint = (
                "for all: thresholds and recovery at the top; for some: match: {key, kind, agent, channel or gateway}"
            )
            yield ConfigProblem(("policies", position, "match"), message, hint)


def _gateway_restart(config: Config) -> Iterator[ConfigProblem]:
    restart, at = config.gateway_restart, "gateway_restart"
    if restart is None:
        return
    ways = [way for way in ("command", "systemd_unit", "launchd_label") if getattr(restart, way) is not None]
    one_of = "one of: command, systemd_unit, launchd_label"
    if not ways:
        yield ConfigProblem((at,), "gateway_restart does not say how", one_of, at_key=True)
    elif len(ways) > 1:
        yield ConfigProblem((at, ways[1]), f"{ways[0]} and {ways[1]} are both given", "keep one", at_key=True)
    names = [gateway.name for gateway in config.gateways if gateway.target_list is None]
    if restart.gateway is not None and restart.gateway not in names:
        message = f"gateway_restart: no gateway is called {quoted(restart.gateway)}"
        yield ConfigProblem((at, "gateway"), message, suggestion(restart.gateway, names), related=(("gateways",),))
    elif restart.gateway is None and len(config.gateways) > 1:
        message = "gateway_restart does not say which gateway it is for"
        yield ConfigProblem(
            (at,), message, f"gateway: one of {', '.join(names)}", related=(("gateways",),), at_key=True
        )
    elif not names:
        message = "gateway_restart is for a gateway with a section of its own, and there is none"
        yield ConfigProblem((at,), message, "leave it out", related=(("gateways",),), at_key=True)
    if restart.min_down < MIN_DOWN_FLOOR and not config.allow_short_thresholds:
        message = f"min_down ({spell(restart.min_down)}) is below its floor of {spell(MIN_DOWN_FLOOR)}"
        yield ConfigProblem((at, "min_down"), message, "a gateway that is only starting must not be restarted")


def _targets(config: Config) -> Iterator[ConfigProblem]:
    first: dict[str, int] = {}
    for position, target in enumerate(config.notify):
        every = target.remind_every
        if every is not None and every < REMIND_FLOOR and not config.allow_short_thresholds:
            message = f"remind_every ({spell(every)}) is below its floor of {spell(REMIND_FLOOR)}"
            hint = f"each time all that is open is said again; {_FOR_TESTS}"
            at: KeyPath = ("notify", position, "remind_every")
            yield ConfigProblem(at, message, hint, related=(("allow_short_thresholds",),))
        if target.name is not None and first.setdefault(target.name, position) != position:
            message = f"two targets are called {quoted(target.name)}"
            other: KeyPath = ("notify", first[target.name], "name")
            hint = "give each a name of its own"
            yield ConfigProblem(("notify", position, "name"), message, hint, rests_on=(other,))


def remarks(config: Config) -> Iterator[ConfigProblem]:
    """What loads, and probably does not do what was meant."""
    names = [gateway.name for gateway in config.gateways]
    has_more = any(gateway.discover for gateway in config.gateways)  # whose names are known when they are found
    recoveries: list[tuple[KeyPath, sections.RecoverySection]] = [(("recovery",), config.recovery)]
    recoveries += [(("policies", position, "recovery"), one.recovery) for position, one in enumerate(config.policies)]
    for place, section in recoveries:
        if section.resume_message is not None:  # 0.1 took any
            yield from _placeholders(section.resume_message, (*place, "resume_message"), PLACEHOLDERS["resume"])
    for position, policy in enumerate(config.policies):
        at: KeyPath = ("policies", position)
        name = quoted(policy_name(policy, position))
        for pattern in policy.match.gateway or ():
            if not has_more and not any(fnmatchcase(gateway, pattern) for gateway in names):
                message = f"policy {name} is for a gateway {quoted(pattern)}, and none is called so"
                yield ConfigProblem((*at, "match", "gateway"), message, suggestion(pattern, names))
        if "fleet_breaker" in policy.recovery.model_fields_set:
            message = (
                "a policy's fleet_breaker has no effect: it counts all sessions of a gateway, whatever their policies"
            )
            hint = "put it under recovery at the top, or leave it out"
            yield ConfigProblem((*at, "recovery", "fleet_breaker"), message, hint, at_key=True)
        if _reaches_background(policy, merged(merged(core.Recovery(), config.recovery), policy.recovery)):
            message = f"policy {name} also acts on the cron, subagent, acp and archived sessions it matches"
            hint = "if that is meant, give it a ladder; if not, say which kind, and archived: false"
            yield ConfigProblem(at, message, hint)
    recovery = merged(core.Recovery(), config.recovery)
    deeds = [step for step in recovery.ladder if step is not core.Step.NOTIFY]
    if recovery.budget.attempts < len(deeds):
        message = f"the budget of {recovery.budget.attempts} ends before the ladder's {len(deeds)} deeds do"
        yield ConfigProblem(("recovery", "budget", "attempts"), message, related=(("recovery", "ladder"),))
    for position, gateway in enumerate(config.gateways):
        address = gateway.address
        if address and not is_loopback(address.hostname) and gateway.state_dir not in (None, "none"):
            message = "state_dir is read on this machine, and the url names another: lock files would mislead"
            yield ConfigProblem(("gateways", position, "state_dir"), message, "state_dir: none")
        if address and address.scheme == "ws" and address.port is None:
            message = "this url has no port, so 80 is used"
            yield ConfigProblem(("gateways", position, "url"), message, "OpenClaw's own is 18789")
        targets = gateway.target_list
        if targets is not None and targets.http is not None and not gateway.insecure:
            scheme, host = _ends_of(targets.http.get_secret_value())
            if scheme == "http" and not is_loopback(host):
                message = "this list could be changed on its way, so it is not read"
                hint = "use https://, or say insecure: true beside discover"
                yield ConfigProblem(("gateways", position, "discover", "http"), message, hint)
    page = config.status_page
    if page is not None and not is_loopback(page.host):
        message = "the status page has no password, and other machines can reach it there"
        yield ConfigProblem(("status_page", "listen"), message)


def _ends_of(address: str) -> tuple[str | None, str | None]:
    """Scheme and host, as far as they can be told; one that begins with a reference is not known before it is used."""
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname
    except ValueError:
        return None, None


def _reaches_background(policy: sections.PolicySection, recovery: core.Recovery) -> bool:
    """It takes background sessions away from the built-in policies, to act on them, without having said so."""
    acts = recovery.mode is core.Mode.RECOVER and recovery.ladder[:1] != (core.Step.NOTIFY,)
    match = policy.match
    was_meant = "ladder" in policy.recovery.model_fields_set or match.kind or match.key or match.archived is True
    return acts and not was_meant
