"""``config check|show|schema``: the configuration as it is read."""

from __future__ import annotations

from typing import Annotated

import typer

from watchdog.cli.shared import ConfigOption, JsonOption, print_json, read_setting, say_error
from watchdog.config import as_yaml, effective, json_schema, missing_secrets, why
from watchdog.gateway.rows import agent_of, kind_of


def add_to(app: typer.Typer) -> None:
    config_app = typer.Typer(help="Check and show the configuration.", no_args_is_help=True)
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
        typer.echo(f"{source or 'built-in defaults'}: ok")

    @config_app.command("show")
    def show(
        config: ConfigOption = None,
        session: Annotated[
            str | None, typer.Option("--session", metavar="KEY", help="Which policy applies to this key, and why.")
        ] = None,
        gateway: Annotated[str | None, typer.Option("--gateway", "-g", help="…on this gateway.")] = None,
        as_json: JsonOption = False,
    ) -> None:
        """Show the effective configuration, secrets masked.

        Example: `openclaw-watchdog config show --session agent:main:cron:nightly`
        """
        setting = read_setting(config)
        if session is None:
            document = effective(setting.loaded)
            if as_json:
                print_json(document)
            else:
                typer.echo(as_yaml(document).rstrip())
            return
        kind = kind_of(session, "agent:main:main", None, None, is_subagent=False)
        place = gateway or setting.loaded.config.gateways[0].name
        answer = why(setting.loaded, gateway=place, key=session, kind=kind, agent=agent_of(session))
        if as_json:
            print_json({"session": session, "policy": answer.policy.name, "why": str(answer)})
        else:
            typer.echo(f"{session}: {answer}")

    @config_app.command("schema")
    def schema() -> None:
        """Print the JSON Schema of the configuration, for editors.

        Example: `openclaw-watchdog config schema > schema.json`
        """
        print_json(json_schema())
