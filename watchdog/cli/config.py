"""``config check|show``: the configuration as it is read; ``schema|example|dashboard|alerts``: what comes with the program."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Annotated

import typer

from watchdog.cli.check import chosen_sections
from watchdog.cli.shared import ConfigOption, JsonOption, Setting, print_file, print_json, read_setting, say, say_error
from watchdog.config import as_yaml, effective, json_schema, missing_secrets, why_session
from watchdog.config.changes import setting_text
from watchdog.config.generate import delivered
from watchdog.core.model import Session, SessionKind, Status
from watchdog.core.policy import Recovery, Thresholds
from watchdog.core.printable import read, shown_key
from watchdog.core.session_key import agent_of, channel_of, kind_of


def add_to(app: typer.Typer) -> None:
    config_app = typer.Typer(
        help="Check and show the configuration; print the files that come with the program.", no_args_is_help=True
    )
    app.add_typer(config_app, name="config")

    @config_app.command("check")
    def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
        """Read the configuration and report everything wrong with it, each with file and line.

        Example: `openclaw-watchdog config check --config watchdog.yaml`
        """
        setting = read_setting(config)
        source = str(setting.loaded.source) if setting.loaded.source is not None else None
        absent = [str(problem) for problem in missing_secrets(setting.loaded, setting.env)]
        # A secret that is missing here may well be set where the service runs: worth a word, not a refusal.
        if as_json:
            print_json({"ok": True, "source": source, "warnings": absent})
            return
        for problem in absent:
            say_error(f"warning: {problem}")
        say(f"{source or 'built-in defaults'}: ok")

    @config_app.command("show")
    def show(
        config: ConfigOption = None,
        session: Annotated[
            str | None, typer.Option("--session", metavar="KEY", help="Which policy applies to this key, and why.")
        ] = None,
        gateway: Annotated[str | None, typer.Option("--gateway", "-g", help="…on this gateway.")] = None,
        kind: Annotated[
            SessionKind | None, typer.Option("--kind", help="…of this kind; default: what the key says.")
        ] = None,
        channel: Annotated[
            str | None, typer.Option("--channel", metavar="NAME", help="…on this channel; default: what the key says.")
        ] = None,
        archived: Annotated[bool, typer.Option("--archived", help="…when it is archived.")] = False,
        as_json: JsonOption = False,
    ) -> None:
        """Show the effective configuration, secrets masked; or which policy a session falls under, and why.

        Example: `openclaw-watchdog config show --session agent:main:cron:nightly`
        """
        if session is None and (given := _about_a_session(gateway, kind, channel, archived)):
            raise typer.BadParameter("say of which session: --session KEY", param_hint=given)
        setting = read_setting(config)
        if session is not None:
            session = read(session)
            place = chosen_sections(setting, gateway)[0].name
            row = Session(
                session,
                Status.ABSENT,
                kind=kind or kind_of(session, "agent:main:main", None, None, is_subagent=False),
                agent_id=agent_of(session),
                channel=channel or channel_of(session),
                is_archived=archived,
            )
            _show_policy(setting, place, row, as_json=as_json)
            return
        document = effective(setting.loaded)
        if as_json:
            print_json(document)
        else:
            source = setting.loaded.source
            print_file(f"# in force: {source if source is not None else 'built-in defaults, no file was found'}")
            print_file(as_yaml(document).rstrip())

    @config_app.command("schema")
    def schema() -> None:
        """Print the JSON Schema of the configuration, for editors.

        Example: `openclaw-watchdog config schema > schema.json`
        """
        print_json(json_schema())

    @config_app.command("example")
    def example() -> None:
        """Print a configuration with every setting, its unit and its default.

        Example: `openclaw-watchdog config example > watchdog.yaml`
        """
        print_file(delivered("watchdog.example.yaml"))

    @config_app.command("dashboard")
    def dashboard() -> None:
        """Print the Grafana dashboard.

        Example: `openclaw-watchdog config dashboard > dashboard.json`
        """
        print_file(delivered("grafana-dashboard.json"))

    @config_app.command("alerts")
    def alerts() -> None:
        """Print the alert rules for Prometheus.

        Example: `openclaw-watchdog config alerts | sudo tee /etc/prometheus/openclaw-watchdog.yml`
        """
        print_file(delivered("prometheus-alerts.yml"))


def _about_a_session(gateway: str | None, kind: SessionKind | None, channel: str | None, archived: bool) -> str | None:
    """The first option given that says more of a session."""
    told = {"--gateway": gateway, "--kind": kind, "--channel": channel, "--archived": archived or None}
    return next((option for option, value in told.items() if value is not None), None)


def _show_policy(setting: Setting, gateway: str, row: Session, *, as_json: bool) -> None:
    answer = why_session(setting.loaded, gateway, row)
    policy = answer.policy
    if as_json:
        print_json(
            {
                "session": row.key,
                "gateway": gateway,
                "kind": row.kind.value,
                "agent": row.agent_id,
                "channel": row.channel,
                "archived": row.is_archived,
                "policy": policy.name,
                "origin": answer.origin,
                "why": str(answer),
                "passed_over": [{"policy": name, "because": because} for name, because in answer.passed_over],
                "thresholds": _in_force(policy.thresholds),
                "recovery": _in_force(policy.recovery),
            }
        )
        return
    say(f"{shown_key(row.key)}: {answer}")
    channel = row.channel or "not in the key (the gateway may say it; try --channel)"
    agent = row.agent_id or "not in the key"
    say(f"taken as:    gateway {gateway}, kind {row.kind.value}, agent {agent}, channel {channel}")
    for name, because in answer.passed_over:
        say(f"passed over: '{name}': {because}")
    for title, section in (("thresholds:", policy.thresholds), ("recovery:", policy.recovery)):
        say(f"{title:<13}" + ", ".join(f"{name} {value}" for name, value in _in_force(section).items()))


def _in_force(section: Thresholds | Recovery) -> dict[str, str]:
    """Every value of it, as the file would say it."""
    found: dict[str, str] = {}
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            inner = (f"{one.name}: {setting_text(getattr(value, one.name))}" for one in fields(value))
            found[field.name] = f"{{{', '.join(inner)}}}"
        else:
            found[field.name] = setting_text(value)
    return found
