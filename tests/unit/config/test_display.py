"""What is in force, and what a reload changes."""

from __future__ import annotations

import json

import pytest

from watchdog.config import as_yaml, diff, effective, parse


def changes(old: str, new: str) -> list[str]:
    return diff(parse(old, env={}).config, parse(new, env={}).config)


def test_effective_has_the_shape_of_the_file_and_can_be_loaded_again() -> None:
    text = """\
gateways: [{name: home, url: 'ws://127.0.0.1:18789', token: '${T}', state_dir: none}]
policies: [{match: {kind: main, key: 'a*'}, thresholds: {stuck_after: 10m}, recovery: {backoff: [1m, 90s]}}]
notify: ['${URL}']
gateway_restart: {systemd_unit: openclaw.service, min_down: 1h30m}
"""
    shown = effective(parse(text, env={}))
    assert shown["gateways"] == [
        {"name": "home", "url": "ws://127.0.0.1:18789", "token": "${T}", "state_dir": "none", "insecure": False}
    ]
    assert [policy["name"] for policy in shown["policies"]] == ["policy-1", "background", "archived"]
    assert shown["policies"][0]["thresholds"]["stuck_after"] == "10m"
    assert shown["policies"][0]["recovery"]["backoff"] == ["1m", "90s"]
    assert shown["gateway_restart"]["min_down"] == "1h30m"
    again = effective(parse(json.dumps(shown), env={}))
    assert [policy["name"] for policy in again["policies"]][3:] == ["built-in-background", "built-in-archived"]
    again["policies"] = again["policies"][:3]
    assert again == shown


def test_effective_of_the_defaults() -> None:
    shown = effective(parse("", env={}))
    assert shown["gateways"] == [{"name": "local", "insecure": False}]
    assert shown["recovery"]["budget"] == {"attempts": 3, "per": "72h"}
    assert shown["status_page"] == {"listen": "127.0.0.1:18795", "hosts": []}


@pytest.mark.parametrize(
    "gateways",
    [
        "",
        "gateways: [{name: home}]",
        "gateways: [{discover: local}]",
        "gateways: [{discover: local}, {name: far, url: 'wss://far.example'}]",
        "gateways: [{discover: {file: /a/*.json, every: 2m}, insecure: true}, {discover: {file: /b}, token_file: /t}]",
    ],
)
def test_saved_and_read_again_it_names_the_same_gateways(gateways: str) -> None:
    """Not every gateway of this machine where the file means one."""
    loaded = parse(gateways, env={})
    again = parse(as_yaml({"gateways": effective(loaded)["gateways"]}), env={})
    assert again.config.gateways == loaded.config.gateways


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("", "poll_every: 30s", []),
        ("", "poll_every: 1m", ["poll_every: 30s -> 1m"]),
        ("", "thresholds: {stuck_after: 30m}", ["thresholds.stuck_after: 20m -> 30m"]),
        ("", "recovery: {ladder: [notify]}", ["recovery.ladder: [resume, new] -> [notify]"]),
        ("", "recovery: {budget: {attempts: 4}}", ["recovery.budget.attempts: 3 -> 4"]),
        ("", "recovery: {mode: observe}", ["recovery.mode: recover -> observe"]),
        ("", "status_page: null", ["status_page: {listen: 127.0.0.1:18795, hosts: []} -> null"]),
        ("", "status_page: {listen: 'a:1'}", ["status_page.listen: 127.0.0.1:18795 -> a:1"]),
        ("", "heartbeat_url: https://h/secret", ["heartbeat_url: null -> https://***"]),
        ("", "ledger: postgresql://ann:secret@db/x", ["ledger: null -> postgresql://***"]),
        (
            "heartbeat_url: https://h/one",
            "heartbeat_url: https://h/two",
            ["heartbeat_url: https://*** -> https://*** (a different secret)"],
        ),
        ("", "notify: [ntfy://x]", ["notify: [] -> [ntfy://*** on [stuck, recovered, ineffective, quarantined, gateway_down, long_running]]"]),
        (
            "notify: [{url: 'ntfy://x', on: stuck}]",
            "notify: [{url: 'ntfy://y', on: stuck}]",
            ["notify: [ntfy://*** on [stuck]] -> [ntfy://*** on [stuck]] (a different secret)"],
        ),
        (
            "notify: [{url: 'ntfy://x', on: stuck}]",
            "notify: [{name: a, url: 'ntfy://x', on: stuck, remind_every: null}]",
            ["notify: [ntfy://*** on [stuck]] -> [a: ntfy://*** on [stuck], remind_every null]"],
        ),
        (
            "gateways: [{name: a}, {name: b, url: 'wss://b', token: one}]",
            "gateways: [{name: b, url: 'wss://b', token: two}, {name: c}]",
            ["gateways[a]: removed", "gateways[b].token: *** -> *** (a different secret)", "gateways[c]: added"],
        ),
        (
            "gateways: [{name: a, token: '${A}'}]",
            "gateways: [{name: a, token: '${B}', insecure: true}]",
            ["gateways[a].token: ${A} -> ${B}", "gateways[a].insecure: false -> true"],
        ),
        (
            "policies: [{name: a, match: {kind: main}}, {name: b, match: {kind: acp}}]",
            "policies: [{name: b, match: {kind: [acp, cron]}}, {name: a, match: {kind: main}}]",
            ["policies[b].match.kind: [acp] -> [acp, cron]", "policies: order is now b, a"],
        ),
        (
            "policies: [{name: a, match: {kind: main}}]",
            "policies: [{name: a, match: {kind: main}, thresholds: {stuck_after: 20m}, recovery: {budget: {per: 2h}}}]",
            [
                "policies[a].thresholds.stuck_after: as outside the policies -> 20m",
                "policies[a].recovery.budget: as outside the policies -> {per: 2h}",
            ],
        ),
        (
            "policies: [{name: a, match: {kind: main}, recovery: {ladder: [new], budget: {per: 1h, attempts: 2}}}]",
            "policies: [{name: a, match: {kind: main}, recovery: {budget: {per: 2h}}}]",
            [
                "policies[a].recovery.ladder: [new] -> as outside the policies",
                "policies[a].recovery.budget.attempts: 2 -> as outside the policies",
                "policies[a].recovery.budget.per: 1h -> 2h",
            ],
        ),
        ("", "gateway_restart: {command: a b}", ["gateway_restart: null -> {command: [a, b]}"]),
        ("", "state_dir: /x", ["state_dir: null -> /x"]),
    ],
)  # fmt: skip
def test_differences(old: str, new: str, expected: list[str]) -> None:
    assert changes(old, new) == expected
    assert (changes(new, old) == []) == (expected == [])
