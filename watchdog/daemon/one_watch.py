"""One gateway, one watch: which of the watched names turn out to lead to a gateway that another one watches already.

Where the addresses say so, the configuration is refused before anything starts (``config.checks``). A tunnel, a proxy or
another name of a machine shows only at the sign-in: then the section that comes later in the file is not watched, and that
is said. Until both have signed in and listed once, the ledger alone keeps them from acting on one run twice.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from watchdog.config import GatewaySection, LoadedConfig, Problem
from watchdog.core.model import ProcessSigns
from watchdog.core.same_process import is_same_process, must_agree
from watchdog.service.pass_report import PassReport


@dataclass(frozen=True, slots=True)
class Twin:
    """``name`` leads to the gateway that is watched as ``watched_as``. ``signs``: of that gateway, when it was found."""

    name: str
    watched_as: str
    signs: ProcessSigns
    problem: Problem

    def __str__(self) -> str:
        return str(self.problem)


@dataclass(slots=True)
class DuplicateGateways:
    """Compares the last good passes of every two names that could be one: each pass costs the same with 10 and with 3,000."""

    refused: dict[str, Twin] = field(default_factory=dict)
    """By the name that is not watched."""
    _said: dict[str, Twin] = field(default_factory=dict)
    """What was last said of a name that has led nowhere else since."""
    _last: dict[str, PassReport] = field(default_factory=dict)
    _alike: dict[Hashable, dict[str, None]] = field(default_factory=dict)
    """The names of ``_last``, by what must agree for two to be one."""

    def note(self, report: PassReport, loaded: LoadedConfig, written: LoadedConfig) -> Twin | None:
        """A pass has ended; returned is which of two names leads to the gateway of the other, if that is so now.
        ``written``: the configuration as the file has it."""
        signs = report.facts.signs if report.facts is not None else None
        if not report.is_good or signs is None:
            return None
        self.forget(report.gateway)
        self._last[report.gateway] = report
        alike = self._alike.setdefault(must_agree(signs), {})
        twins = [other for other in alike if are_same(report, self._last[other])]
        alike[report.gateway] = None
        if not twins:
            self._said.pop(report.gateway, None)
            return None
        order = [section.name for section in loaded.config.gateways]
        for other in twins:
            if not {other, report.gateway} <= set(order):
                continue
            first, later = sorted((other, report.gateway), key=order.index)
            found = self._last[first].facts
            assert found is not None
            assert found.signs is not None
            return Twin(later, first, found.signs, problem_of(written, later, first))
        return None

    def refuse(self, twin: Twin) -> bool:
        """Whether that is news."""
        said = self._said.get(twin.name)
        self.refused[twin.name] = self._said[twin.name] = twin
        self.forget(twin.name)
        return said is None or str(said) != str(twin) or not is_same_process(said.signs, twin.signs, share_session=True)

    def forget(self, name: str) -> None:
        """Nobody watches it any more."""
        last = self._last.pop(name, None)
        if last is None or last.facts is None or last.facts.signs is None:
            return
        alike = self._alike[key := must_agree(last.facts.signs)]
        del alike[name]
        if not alike:
            del self._alike[key]

    def keep(self, before: Mapping[str, GatewaySection], now: Mapping[str, GatewaySection]) -> None:
        """After a change of the configuration: what was found holds for sections that are as they were."""

        def kept(found: Mapping[str, Twin]) -> dict[str, Twin]:
            return {
                name: twin
                for name, twin in found.items()
                if all(one in now and now[one] == before.get(one) for one in (name, twin.watched_as))
            }

        self.refused, self._said = kept(self.refused), kept(self._said)

    def freed(self, report: PassReport) -> Sequence[Twin]:
        """Names that were refused for the gateway of this report, which is another process now: they may lead elsewhere."""
        signs = report.facts.signs if report.is_good and report.facts is not None else None
        if signs is None:
            return ()
        return [
            twin
            for twin in self.refused.values()
            if twin.watched_as == report.gateway and not is_same_process(signs, twin.signs, share_session=True)
        ]

    def leads_elsewhere(self, twin: Twin, signs: ProcessSigns | None, session_ids: Collection[str]) -> bool:
        """Whether what answers under a refused name now, and lists these sessions, is not the gateway that it was refused for.
        Without a boot id a session of both is enough here: the two starts were read long after each other, and the gateway's
        machine may have slept in between."""
        if signs is None:
            return True
        watched = self._last.get(twin.watched_as)
        shares = watched is None or not _session_ids(watched).isdisjoint(session_ids)
        return not is_same_process(replace(signs, began=twin.signs.began), twin.signs, share_session=shares)


def are_same(one: PassReport, other: PassReport) -> bool:
    """Both passes were answered by one process."""
    if one.facts is None or other.facts is None or one.facts.signs is None or other.facts.signs is None:
        return False
    signs, others = one.facts.signs, other.facts.signs
    if not is_same_process(signs, others, share_session=True):
        return False  # long lists are compared only where everything else agrees
    # guard: single: without a boot id only a session of both proves it
    return is_same_process(signs, others, share_session=bool(_session_ids(one) & _session_ids(other)))


def problem_of(written: LoadedConfig, later: str, first: str) -> Problem:
    """What to say of it, with the places of both in the file; a name that the file does not have was discovered."""
    positions = {one.name: at for at, one in enumerate(written.config.gateways) if one.target_list is None}
    discovering = next((at for at, one in enumerate(written.config.gateways) if one.discover is not None), 0)
    place = written.problem_at(("gateways", positions.get(first, discovering)), "")
    where = f" at {place.file}:{place.line}" if place.line is not None else ""
    return written.problem_at(
        ("gateways", positions.get(later, discovering)),
        f"{later} reaches the same gateway as {first}{where}, which watches it; {later} is not watched",
        "one section for each gateway: keep one",
    )


def _session_ids(report: PassReport) -> set[str]:
    return {item.session.session_id for item in report.judged if item.session.session_id is not None}
