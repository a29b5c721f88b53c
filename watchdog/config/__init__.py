"""The configuration file: found, read, checked, shown, and turned into the core's rules.

    text -> values with places -> models -> agreement -> rules
    (document)  (fields, references)  (sections, models)  (checks)  (policybook)

A file is refused with everything that is wrong with it at once, each with line, column and the way out (``refusals``,
``problems``). The models are the one source of what settings exist and mean: ``schema`` and ``template`` write the
JSON Schema and the commented file from them. Secrets stay unread until ``resolve_secret`` (``credentials``), and no
message, dump or difference shows one. pydantic and ruamel.yaml are used here and nowhere else.
"""

from __future__ import annotations

from watchdog.config.changes import diff
from watchdog.config.credentials import missing_secrets, resolve_secret
from watchdog.config.display import as_yaml, effective
from watchdog.config.fields import NotifyEvent
from watchdog.config.loader import LoadedConfig, load, parse, search_paths, user_folder
from watchdog.config.models import Config, GatewayRestart, GatewaySection, LogSection, NotifyTarget, StatusPage
from watchdog.config.policy_match import Why, why, why_session
from watchdog.config.policybook import build_policy_book
from watchdog.config.problems import ConfigError, Problem, SecretError
from watchdog.config.schema import json_schema
from watchdog.config.template import FoundGateway, render_example, render_template

__all__ = [
    "Config",
    "ConfigError",
    "FoundGateway",
    "GatewayRestart",
    "GatewaySection",
    "LoadedConfig",
    "LogSection",
    "NotifyEvent",
    "NotifyTarget",
    "Problem",
    "SecretError",
    "StatusPage",
    "Why",
    "as_yaml",
    "build_policy_book",
    "diff",
    "effective",
    "json_schema",
    "load",
    "missing_secrets",
    "parse",
    "render_example",
    "render_template",
    "resolve_secret",
    "search_paths",
    "user_folder",
    "why",
    "why_session",
]
