"""The core's rules as the file builds them, and the reasons given for a choice."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config import Config, build_policy_book, effective, parse, why, why_session
from watchdog.config import sections as file
from watchdog.core.model import Session, SessionKind, Status
from watchdog.core.policy import Budget, FleetBreakerLimits, Match, Mode, Policy, Recovery, Step, Texts, Thresholds

FILE = """\
thresholds: {stuck_after: 30m}
recovery:
  backoff: [2m]
  budget: {attempts: 5}
policies:
  - name: telegram
    match: {channel: [telegram, 'tele*'], kind: direct}
    thresholds: {long_running_after: 2h}
    recovery: {budget: {per: 24h}, resume_message: null}
  - match: {agent: research-*, gateway: home}
    recovery: {mode: observe, ladder: [notify], resume_message: Hello}
"""


def test_without_a_file_the_core_decides_its_own_defaults() -> None:
    book = build_policy_book(Config())
    assert book.default == Policy("default", Thresholds(), Recovery())


def test_every_field_of_the_core_can_be_set_and_nothing_else() -> None:
    pairs = (
        (file.ThresholdsSection, Thresholds),
        (file.RecoverySection, Recovery),
        (file.TextsSection, Texts),
        (file.MatchSection, Match),
        (file.SessionBudget, Budget),
        (file.GatewayBudget, Budget),
        (file.FleetBreakerSection, FleetBreakerLimits),
    )
    for section, core in pairs:
        # The texts are a section of the file of their own.
        known = [field.name for field in fields(core) if field.name != "texts"]
        assert sorted(section.model_fields) == sorted(known)


def test_a_policys_texts_take_the_place_of_those_outside_one_by_one() -> None:
    text = """
texts: {language: zh-CN, ask: Outside}
policies: [{match: {kind: main}, texts: {ask: Inside}}, {match: {kind: group}, texts: {language: en, ask: null}}]
"""
    book = parse(text, env={}).policy_book
    assert book.default.recovery.texts == Texts("zh-CN", ask="Outside")
    assert book.policies[0].recovery.texts == Texts("zh-CN", ask="Inside")
    assert book.policies[1].recovery.texts == Texts("en")


def test_built_in_policies_come_last_and_only_tell() -> None:
    book = parse("recovery: {verify_within: 5m}", env={}).policy_book
    assert [policy.name for policy in book.policies] == ["background", "archived"]
    for policy in book.policies:
        assert policy.recovery == replace(Recovery(), verify_within=timedelta(minutes=5), ladder=(Step.NOTIFY,))


def test_overrides_are_merged_key_by_key() -> None:
    book = parse(FILE, env={}).policy_book
    telegram, research = book.policies[:2]
    assert book.default.thresholds == replace(Thresholds(), stuck_after=timedelta(minutes=30))
    assert book.default.recovery.budget == Budget(5, timedelta(hours=72))
    assert book.default.recovery.gateway_budget == Budget(20, timedelta(hours=1))
    assert telegram.name == "telegram"
    assert telegram.match == Match(channel=("telegram", "tele*"), kind=("direct",))
    assert telegram.thresholds == replace(book.default.thresholds, long_running_after=timedelta(hours=2))
    assert telegram.recovery == replace(book.default.recovery, budget=Budget(5, timedelta(hours=24)))
    assert research.name == "policy-2"
    assert research.recovery == replace(
        book.default.recovery, mode=Mode.OBSERVE, ladder=(Step.NOTIFY,), resume_message="Hello"
    )


def test_the_fleet_breaker_is_the_gateways_and_no_policy_has_its_own() -> None:
    text = """
recovery: {fleet_breaker: {sessions: 7}}
policies: [{name: a, match: {kind: main}, recovery: {mode: observe, fleet_breaker: {sessions: 2, share: 0.9}}}]
"""
    loaded = parse(text, file="w.yaml", env={})
    assert loaded.policy_book.policies[0].recovery.fleet_breaker == FleetBreakerLimits(7, 0.5)
    assert effective(loaded)["policies"][0]["recovery"]["fleet_breaker"] == {"sessions": 7, "share": 0.5}
    assert str(why(loaded, gateway="home", key="k", kind="main")).endswith("it sets recovery.mode: observe")
    (warning,) = map(str, loaded.warnings)
    assert warning == (
        "w.yaml:3:69: a policy's fleet_breaker has no effect: it counts all sessions of a gateway, whatever their policies "
        "(put it under recovery at the top, or leave it out)"
    )


def test_null_in_an_override_is_a_value() -> None:
    text = "recovery: {resume_message: Hello}\npolicies: [{match: {kind: main}, recovery: {resume_message: null}}]"
    book = parse(text, env={}).policy_book
    assert (book.default.recovery.resume_message, book.policies[0].recovery.resume_message) == ("Hello", None)


def test_a_policy_of_the_users_may_take_the_built_in_name() -> None:
    book = parse("policies: [{name: background, match: {kind: cron}}]", env={}).policy_book
    assert [policy.name for policy in book.policies] == ["background", "built-in-background", "archived"]


@pytest.mark.parametrize(
    ("session", "name"),
    [
        ({"kind": "main"}, "default"),
        ({"kind": "cron"}, "background"),
        ({"kind": "subagent"}, "background"),
        ({"kind": "acp"}, "background"),
        ({"kind": "hook"}, "default"),
        ({"kind": "main", "archived": True}, "archived"),
        ({"kind": "direct", "channel": "telegram"}, "telegram"),
        ({"kind": "group", "channel": "telegram"}, "default"),
        ({"kind": "direct", "channel": None}, "default"),
        ({"kind": "cron", "agent": "research-1"}, "policy-2"),
        ({"kind": "cron", "agent": "research-1", "gateway": "away"}, "background"),
    ],
)
def test_who_falls_under_what(session: dict[str, str], name: str) -> None:
    loaded = parse(FILE, env={})
    chosen = why(loaded, **{"gateway": "home", "key": "agent:main:x", **session})  # type: ignore[arg-type]
    assert chosen.policy.name == name


def test_reasons_in_words() -> None:
    loaded = parse(FILE, file="w.yaml", env={})
    first = why(loaded, gateway="home", key="k", kind="direct", channel="teleport")
    assert str(first) == (
        "policy 'telegram' (w.yaml:6): kind is direct; channel teleport matches tele*; it sets "
        "thresholds.long_running_after: 2h, recovery.budget: {per: 24h}, recovery.resume_message: null"
    )
    assert first.passed_over == ()
    built_in = why(loaded, gateway="home", key="k", kind=SessionKind.CRON)
    assert str(built_in) == "policy 'background' (built in): kind is cron; it sets recovery.ladder: [notify]"
    assert built_in.passed_over == (
        ("telegram", "kind cron is not direct"),
        ("policy-2", "its agent is not known, and research-* is asked for"),
    )
    rest = why(loaded, gateway="home", key="k", kind="main", agent="x")
    assert str(rest) == "policy 'default' (default): no policy matches"
    assert rest.passed_over[-2:] == (
        ("background", "kind main is not cron or subagent or acp"),
        ("archived", "it is not archived"),
    )


WORDS = st.sampled_from(["a", "b", "ab", "a*", "?"])
PATTERNS = st.none() | st.lists(WORDS, min_size=1, max_size=2)


@given(
    policies=st.lists(
        st.fixed_dictionaries({"key": PATTERNS, "agent": PATTERNS, "channel": PATTERNS, "gateway": PATTERNS}).filter(
            lambda match: any(match.values())
        ),
        max_size=4,
    ),
    key=WORDS,
    agent=st.none() | WORDS,
    channel=st.none() | WORDS,
    kind=st.sampled_from(SessionKind),
    archived=st.booleans(),
)
def test_the_reason_is_for_the_policy_that_decides(
    policies: list[dict[str, object]],
    key: str,
    agent: str | None,
    channel: str | None,
    kind: SessionKind,
    archived: bool,
) -> None:
    import json

    text = json.dumps({"gateways": [{"name": "a"}], "policies": [{"match": match} for match in policies]})
    loaded = parse(text, env={})
    session = Session(key, Status.RUNNING, kind=kind, agent_id=agent, channel=channel, is_archived=archived)
    reason = why_session(loaded, "a", session)
    assert reason.policy is loaded.policy_book.policy_for("a", session)
    names = [policy.name for policy in loaded.policy_book.policies] + ["default"]
    assert [name for name, _ in reason.passed_over] == names[: names.index(reason.policy.name)]
    assert bool(reason.matched) == (reason.policy.name != "default")
