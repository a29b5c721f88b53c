"""The Grafana dashboard and the Prometheus alerts against the program: every metric, label and label value in them.

With a ``promtool`` on the PATH (Debian: ``apt install prometheus``) the alerts are also parsed and fired by it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from tests.site.reference import filled_meter
from watchdog.core.blockers import BlockerName
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.core.verdict import Verdict
from watchdog.service.events import Delivery

REPOSITORY = Path(__file__).parents[3]
ALERTS = REPOSITORY / "config/prometheus-alerts.yml"
RUNBOOKS = REPOSITORY / "docs/runbooks.md"
DASHBOARD = REPOSITORY / "config/grafana-dashboard.json"
PREFIX = "openclaw_watchdog_"

VALUES: Mapping[str, type[StrEnum]] = {
    "verdict": Verdict,
    "step": Step,
    "blocker": BlockerName,
}
"""Labels with a closed set of values. ``state`` has two: attempts have their own, messages theirs."""
ADDED_BY_PROMETHEUS = {"instance", "job"}
PROCESS = {"process_resident_memory_bytes": set(), "process_cpu_seconds_total": set()}  # type: Mapping[str, set[str]]
"""From the client library, on Linux only; the registry has them there, and this file must hold on a Mac too."""

_SELECTOR = re.compile(r"\b((?:openclaw_watchdog|process)_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'([a-zA-Z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_TEMPLATE = re.compile(r"\$labels\.([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Expression:
    """One PromQL expression and where it stands."""

    place: str
    text: str
    words: str = ""
    """What is said when it fires, or the legend."""


def alerts() -> Iterator[Expression]:
    for group in YAML(typ="safe").load(ALERTS)["groups"]:
        for rule in group["rules"]:
            yield Expression(rule["alert"], rule["expr"], " ".join(rule["annotations"].values()))


def panels() -> Iterator[Expression]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            legend = re.sub(r"\{\{\s*(\w+)\s*\}\}", r"$labels.\1", target["legendFormat"])
            yield Expression(panel["title"], target["expr"], legend)


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return found


EXPRESSIONS = [*alerts(), *panels()]


@pytest.fixture(scope="module")
def series() -> Mapping[str, set[str]]:
    """Every sample the program can show: its name and its labels."""
    found: dict[str, set[str]] = {name: set(labels) for name, labels in PROCESS.items()}
    for family in text_string_to_metric_families(filled_meter().render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("one", EXPRESSIONS, ids=lambda one: one.place)
def test_every_name_and_label_is_the_programs_own(one: Expression, series: Mapping[str, set[str]]) -> None:
    used: set[str] = set()
    for name, matchers in _SELECTOR.findall(one.text):
        assert name in series, f"{one.place}: no metric {name}"
        used |= series[name]
        for label, _, value in _MATCHER.findall(matchers):
            assert label in series[name], f"{one.place}: {name} has no label {label}"
            for word in value.split("|"):
                assert word.startswith("$") or word in words_of(name, label), f"{one.place}: {label} is never {word}"
    assert used or "build_info" in one.text or "process_" in one.text or "poll_" in one.text or "cycle" in one.text
    for labels in _GROUPING.findall(one.text):
        for label in filter(None, map(str.strip, labels.split(","))):
            assert label in used | ADDED_BY_PROMETHEUS, f"{one.place}: nothing here has a label {label}"
    left = set(re.split(r"[\s,]+", by.group(1))) if (by := re.search(r"by \(([^)]*)\)", one.text)) else used
    for label in _TEMPLATE.findall(one.words):
        assert label in left, f"{one.place}: the words name {label}, which is not left"


def words_of(metric: str, label: str) -> set[str]:
    if label == "state":
        words: type[StrEnum] = Delivery if "notifications" in metric else AttemptState
        return {word.value for word in words}
    return {word.value for word in VALUES[label]}


def test_a_wrong_name_would_be_noticed(series: Mapping[str, set[str]]) -> None:
    wrong = (
        "openclaw_watchdog_session > 0",
        'openclaw_watchdog_sessions{verdicts="stuck"} > 0',
        'openclaw_watchdog_sessions{verdict="zombie"} > 0',
        "sum by (agent) (openclaw_watchdog_sessions)",
    )
    for text in wrong:
        with pytest.raises(AssertionError):
            test_every_name_and_label_is_the_programs_own(Expression("wrong", text), series)
    named = Expression("wrong", "sum by (gateway) (openclaw_watchdog_sessions)", "$labels.verdict")
    with pytest.raises(AssertionError):
        test_every_name_and_label_is_the_programs_own(named, series)


def test_what_an_operator_wants_to_be_woken_by_is_there() -> None:
    wanted = {
        "no completed cycle": "last_cycle_timestamp_seconds",
        "the watchdog is gone": "absent(",
        "a gateway is down": "gateway_up == 0",
        "stuck for long": "incidents_open > 0",
        "given up": "quarantined > 0",
        "nobody is told": 'notifications_total{state="given_up"}',
        "the breaker": 'blocker="fleet_breaker"',
        "held for good": "ledger_unavailable",
    }
    texts = [one.text for one in alerts()]
    assert [what for what, part in wanted.items() if not any(part in text for text in texts)] == []


def test_every_alert_leads_to_its_runbook_and_every_runbook_is_one_of_an_alerts() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS.read_text("utf-8"), re.DOTALL | re.MULTILINE))
    rules = [rule for group in YAML(typ="safe").load(ALERTS)["groups"] for rule in group["rules"]]
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
    assert list(sections) == [rule["alert"] for rule in rules]
    for name, text in sections.items():
        said = " ".join(re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE)).lower()
        assert re.fullmatch(r"meaning impact diagnosis( and)? way out", said), name


def test_the_runbook_of_what_is_held_has_the_blockers_of_its_alert() -> None:
    text = RUNBOOKS.read_text("utf-8").partition("## OpenClawRecoveryHeld")[2].partition("\n## ")[0]
    (rule,) = [one.text for one in alerts() if "ledger_unavailable" in one.text]
    (blockers,) = re.findall(r'blocker=~"([a-z_|]+)"', rule)
    head, *rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert (head, set(rows)) == ("blocker", set(blockers.split("|")))


def test_every_metric_of_the_contract_is_on_the_dashboard(series: Mapping[str, set[str]]) -> None:
    shown = " ".join(one.text for one in panels())
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series if name.startswith(PREFIX)}
    assert {name for name in families if name not in shown} == set()


def test_the_dashboard_can_be_imported() -> None:
    document = dashboard()
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [one["name"] for one in document["templating"]["list"]] == ["datasource", "gateway"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
@pytest.mark.parametrize("verb", [["check", "rules", str(ALERTS)], ["test", "rules", "alerts.promtool.yml"]])
def test_promtool_agrees(verb: list[str]) -> None:
    done = subprocess.run(["promtool", *verb], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_is_given_every_alert() -> None:
    tested = {
        case["alertname"]
        for test in YAML(typ="safe").load(Path(__file__).parent / "alerts.promtool.yml")["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tested == {one.place for one in alerts()}
