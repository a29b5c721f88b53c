"""The configuration in force, as it may be shown: complete, and with secrets masked."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML

from watchdog.config.durations import spell
from watchdog.config.loader import LoadedConfig
from watchdog.core import policy as core


def effective(loaded: LoadedConfig) -> dict[str, Any]:
    """Everything in force, in the shape of the file: defaults filled in, policies complete and with the built-in ones."""
    shown = loaded.config.model_dump(mode="json")
    shown["gateways"] = [_gateway(gateway) for gateway in shown["gateways"]]
    shown["policies"] = [_policy(policy) for policy in loaded.policy_book.policies]
    return shown


def _gateway(shown: dict[str, Any]) -> dict[str, Any]:
    """Name first, and without what is left to discovery: a section without ``url`` is one gateway, not ``discover: local``.
    A list has no name."""
    said = {name: value for name, value in shown.items() if value is not None}
    name = said.pop("name")
    if isinstance(said.get("discover"), dict):
        return {"discover": {key: value for key, value in said.pop("discover").items() if value is not None}, **said}
    return {"name": name, **said}


def _policy(policy: core.Policy) -> dict[str, Any]:
    thresholds, recovery, match = policy.thresholds, policy.recovery, policy.match
    return {
        "name": policy.name,
        "match": {
            field: list(value) if isinstance(value, tuple) else value
            for field in ("key", "kind", "agent", "channel", "gateway", "archived")
            if (value := getattr(match, field)) is not None
        },
        "thresholds": {
            "stuck_after": spell(thresholds.stuck_after),
            "confirm_for": spell(thresholds.confirm_for),
            "long_running_after": spell(thresholds.long_running_after),
            "startup_grace": spell(thresholds.startup_grace),
        },
        "recovery": {
            "mode": str(recovery.mode),
            "ladder": [str(step) for step in recovery.ladder],
            "verify_within": spell(recovery.verify_within),
            "backoff": [spell(wait) for wait in recovery.backoff],
            "budget": _budget(recovery.budget),
            "gateway_budget": _budget(recovery.gateway_budget),
            "max_concurrent": recovery.max_concurrent,
            "fleet_breaker": {"sessions": recovery.fleet_breaker.sessions, "share": recovery.fleet_breaker.share},
            "resume_max_age": spell(recovery.resume_max_age),
            "ask_instead_of_resume": str(recovery.ask_instead_of_resume),
            "deeds_between": recovery.deeds_between.words if recovery.deeds_between is not None else None,
            "resume_message": recovery.resume_message,
        },
        "texts": {field: getattr(recovery.texts, field) for field in ("language", "resume", "ask", "fresh_session")},
    }


def _budget(budget: core.Budget) -> dict[str, Any]:
    return {"attempts": budget.attempts, "per": spell(budget.per)}


def as_yaml(document: object) -> str:
    """The same as YAML text."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(document, stream)
    return stream.getvalue()
