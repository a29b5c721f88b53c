"""Names, types and labels against the contract; what belongs to a gateway goes away with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from watchdog.core.blockers import BlockerName
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.core.verdict import Verdict
from watchdog.service.events import Delivery
from watchdog.service.ports import Meter
from watchdog.status.metrics import PrometheusMeter

CONTRACT = """
sessions{gateway,verdict}
poll_seconds (histogram)
poll_bytes_total
last_cycle_timestamp_seconds
gateway_up{gateway}
incidents_open{gateway}
attempts_total{gateway,step,state}
held_total{gateway,blocker}
quarantined{gateway}
detection_delay_seconds (histogram)
notifications_total{state}
build_info{version}
"""
"""The names and labels that users rely on."""
PREFIX = "openclaw_watchdog_"


def _used() -> PrometheusMeter:
    meter = PrometheusMeter("1.2.3")
    port: Meter = meter
    port.polled("home", 0.02, 1000)
    port.gateway_up("home", is_up=True)
    port.sessions("home", {"healthy": 3, "stuck": 1})
    port.cycle_completed(datetime(2026, 9, 14, tzinfo=UTC))
    port.incidents_open("home", 1)
    port.quarantined("home", 2)
    port.attempt("home", "resume", "succeeded")
    port.held("home", "paused")
    port.detection_delay(1230.0)
    port.notification("delivered")
    return meter


def _families(meter: PrometheusMeter) -> dict[str, Metric]:
    text = meter.render().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def _value(meter: PrometheusMeter, name: str, **labels: str) -> float | None:
    return meter.registry.get_sample_value(PREFIX + name, labels)


@pytest.mark.parametrize("line", CONTRACT.split("\n")[1:-1])
def test_the_contracts_names_types_and_labels(line: str) -> None:
    name, _, rest = line.removesuffix(" (histogram)").partition("{")
    labels = {label for label in rest.rstrip("}").split(",") if label}
    kind = "histogram" if "(histogram)" in line else "counter" if name.endswith("_total") else "gauge"
    family = _families(_used())[PREFIX + name.removesuffix("_total")]
    assert family.type == kind
    assert {frozenset(sample.labels) - {"le"} for sample in family.samples} == {frozenset(labels)}
    assert family.documentation


def test_nothing_of_ours_beyond_the_contract() -> None:
    promised = {line.split("{")[0].split(" ")[0].removesuffix("_total") for line in CONTRACT.split("\n")[1:-1]}
    ours = {name.removeprefix(PREFIX) for name in _families(_used()) if name.startswith(PREFIX)}
    assert ours == promised
    others = {name for name in _families(_used()) if not name.startswith(PREFIX)}
    assert all(name.startswith("process_") for name in others)


def test_values() -> None:
    meter = _used()
    assert _value(meter, "sessions", gateway="home", verdict="stuck") == 1
    assert _value(meter, "sessions", gateway="home", verdict="suspect") == 0
    assert _value(meter, "poll_bytes_total") == 1000
    assert _value(meter, "poll_seconds_count") == 1
    assert _value(meter, "last_cycle_timestamp_seconds") == datetime(2026, 9, 14, tzinfo=UTC).timestamp()
    assert _value(meter, "gateway_up", gateway="home") == 1
    assert _value(meter, "attempts_total", gateway="home", step="resume", state="succeeded") == 1
    assert _value(meter, "held_total", gateway="home", blocker="paused") == 1
    assert _value(meter, "notifications_total", state="given_up") == 0
    assert _value(meter, "build_info", version="1.2.3") == 1


def test_words_outside_the_closed_sets_are_summed_as_other() -> None:
    meter = PrometheusMeter("1")
    meter.sessions("home", {"agent:main:main": 2, "hung": 1})
    meter.attempt("home", "agent:main:main", "exploded")
    meter.held("home", "agent:main:main")
    meter.notification("https://secret")
    assert _value(meter, "sessions", gateway="home", verdict="other") == 3
    assert _value(meter, "attempts_total", gateway="home", step="other", state="other") == 1
    assert _value(meter, "notifications_total", state="other") == 1
    assert b"agent:main" not in meter.render()
    meter.sessions("home", {"healthy": 1})
    assert _value(meter, "sessions", gateway="home", verdict="other") is None


def test_every_closed_set_is_taken_as_it_is() -> None:
    meter = PrometheusMeter("1")
    meter.sessions("home", dict.fromkeys((verdict.value for verdict in Verdict), 1))
    for step in Step:
        for state in AttemptState:
            meter.attempt("home", step.value, state.value)
    for blocker in BlockerName:
        meter.held("home", blocker.value)
    for delivery in Delivery:
        meter.notification(delivery.value)
    assert b'"other"' not in meter.render()


def test_a_removed_gateway_takes_its_series_along() -> None:
    meter = _used()
    meter.watch_gateways(["home", "office"])
    meter.gateway_up("office", is_up=False)
    meter.watch_gateways(["office"])
    assert b'"home"' not in meter.render()
    assert _value(meter, "gateway_up", gateway="office") == 0
    meter.gateway_up("home", is_up=True)  # a poll that was still under way
    assert b'"home"' not in meter.render()
    meter.watch_gateways(["home"])
    meter.gateway_up("home", is_up=True)
    assert _value(meter, "gateway_up", gateway="home") == 1


def test_series_appear_when_first_counted_and_the_ends_of_a_deed_with_its_beginning() -> None:
    meter = PrometheusMeter("1")
    meter.watch_gateways(["home"])
    assert b'"home"' not in meter.render()
    meter.held("home", "fleet_breaker")
    assert _value(meter, "held_total", gateway="home", blocker="fleet_breaker") == 1
    meter.attempt("home", "resume", "started")
    assert _value(meter, "attempts_total", gateway="home", step="resume", state="ineffective") == 0
    meter.attempt("home", "resume", "ineffective")
    meter.attempt("home", "resume", "started")
    meter.watch_gateways(["home"])
    assert _value(meter, "attempts_total", gateway="home", step="resume", state="ineffective") == 1
    assert _value(meter, "attempts_total", gateway="home", step="new", state="ineffective") is None


def test_where_no_gateway_is_left_none_comes_back() -> None:
    meter = PrometheusMeter("1")
    meter.watch_gateways(["home"])
    meter.watch_gateways([])
    meter.gateway_up("home", is_up=True)  # a poll that was still under way
    assert b'"home"' not in meter.render()


def test_two_meters_do_not_share_anything() -> None:
    first, second = PrometheusMeter("1"), PrometheusMeter("1")
    first.notification("delivered")
    assert _value(second, "notifications_total", state="delivered") == 0


def test_a_delay_is_never_negative() -> None:
    meter = PrometheusMeter("1")
    meter.detection_delay(-5)
    assert _value(meter, "detection_delay_seconds_sum") == 0
