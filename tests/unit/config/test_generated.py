"""One source: the schema, the example file and what ``init`` writes all come from the models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from watchdog.config import ConfigError, FoundGateway, effective, json_schema, parse, render_example, render_template
from watchdog.config.document import read_document
from watchdog.config.generate import FOLDER, generated, main
from watchdog.config.models import Config
from watchdog.config.refusals import section_of
from watchdog.config.template import default_text
from watchdog.core.policy import BACKGROUND_MATCHES

EXAMPLE = (FOLDER / "watchdog.example.yaml").read_text()


def fields(model: type[BaseModel] = Config, path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield f"{path}{name}", field
        if inner := section_of(field.annotation):
            yield from fields(inner, f"{path}{name}.")


FIELDS = dict(fields())


# --- a JSON Schema validator for the words our schema uses --------------------------------------------------------


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema:
        return any(accepts(option, value, root) for option in schema["anyOf"])
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_is(kind, value) for kind in kinds):
        return False
    if value not in schema.get("enum", [value]):
        return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(accepts(schema["items"], item, root) for item in value)
    if isinstance(value, dict):
        known = schema["properties"]
        has_all = all(name in value for name in schema.get("required", []))
        return has_all and all(name in known and accepts(known[name], item, root) for name, item in value.items())
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, over, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
        return (low is None or value >= low) and (over is None or value > over) and (high is None or value <= high)
    return True


def _is(kind: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": number and isinstance(value, int),
        "number": number,
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[kind]


def schema_accepts(text: str) -> bool:
    schema = json_schema()
    return accepts(schema, read_document(text, "").root or {}, schema)


# --- the files in the repository -----------------------------------------------------------------------------------


def test_the_files_are_what_the_models_say() -> None:
    for name, content in generated().items():
        assert (FOLDER / name).read_text() == content, "run: python -m watchdog.config.generate"


def test_generate_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["schema.json", "watchdog.example.yaml"]
    assert "wrote" in capsys.readouterr().out


# --- documentation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    field = FIELDS[name]
    text = " ".join((field.description or "").split())
    assert text.endswith(".")
    if field.is_required() or section_of(field.annotation) or name in ("gateways.name", "gateways"):
        return
    assert "Default" in text
    if field.default is None:
        assert "Default null: " in text
        assert field.examples, "a setting that is off needs an example"


def test_documented_defaults_are_the_defaults() -> None:
    """Written into a file, what the documentation calls the defaults changes nothing."""
    tree: dict[str, Any] = {}
    for name, field in FIELDS.items():
        parts = name.split(".")
        if parts[0] in ("gateways", "policies", "notify", "gateway_restart", "replicas") or field.default is None:
            continue
        if section_of(field.annotation):
            continue
        here = tree
        for part in parts[:-1]:
            here = here.setdefault(part, {})
        root = read_document(f"x: {default_text(field)}", "").root
        assert isinstance(root, dict)
        here[parts[-1]] = root["x"]
    assert len(tree) == 11
    assert parse(json.dumps(tree), env={}).config == Config()


# --- the example ---------------------------------------------------------------------------------------------------


def test_the_example_loads_silently_and_means_the_defaults() -> None:
    loaded, defaults = parse(EXAMPLE, env={}), parse("", env={})
    assert loaded.warnings == ()
    ours, theirs = effective(loaded), effective(defaults)
    own = loaded.policy_book.policies[0]
    assert own.match == BACKGROUND_MATCHES[0]
    assert own.recovery == defaults.policy_book.policies[0].recovery
    ours.pop("policies"), theirs.pop("policies")
    assert ours == theirs


def test_the_example_begins_with_its_schema_and_fits_it() -> None:
    first = EXAMPLE.splitlines()[0]
    assert first == "# yaml-language-server: $schema=./schema.json"
    assert (FOLDER / first.partition("=")[2]).exists()
    assert schema_accepts(EXAMPLE)


def test_every_setting_is_in_the_example() -> None:
    for name in FIELDS:
        outer = name.split(".")
        if outer[0] == "policies" and outer[1:2] in (["thresholds"], ["recovery"]):
            continue
        assert re.search(rf"[ #{{]{outer[-1]}: |^#?{outer[-1]}:", EXAMPLE, re.MULTILINE), name


def test_lines_are_short_and_clean() -> None:
    for line in EXAMPLE.splitlines():
        assert len(line) <= 120
        assert line == line.rstrip()
        assert "`" not in line
        assert "\x1f" not in line


OFF = [number for number, line in enumerate(EXAMPLE.splitlines()) if re.match(r" *#[a-z_]+: ", line)]


@pytest.mark.parametrize("number", OFF, ids=lambda number: EXAMPLE.splitlines()[number].strip())
def test_every_line_that_is_off_can_be_turned_on(number: int) -> None:
    lines = EXAMPLE.splitlines()
    lines[number] = lines[number].replace("#", "", 1)
    text = "\n".join(lines)
    assert schema_accepts(text)
    parse(text, env={"HOME": "/home/me"})


def test_blocks_that_are_off_can_be_turned_on() -> None:
    before, restart, after = re.split(r"(?m)(^#gateway_restart:\n(?:#.*\n)+)", EXAMPLE)
    text = before + re.sub(r"(?m)^#", "", restart) + after
    text = re.sub(r"(?m)^  #(- |  )", r"  \1", text)
    config = parse(text, env={}).config
    assert config.gateway_restart is not None
    assert config.gateway_restart.command == ("openclaw", "gateway", "restart")
    assert [policy.name for policy in config.policies] == ["background", "telegram"]
    assert len(config.notify) == 2


CONTRACT = """\
gateways:
  - name: home
    url: ws://127.0.0.1:18789
    token: ${OPENCLAW_GATEWAY_TOKEN}
    state_dir: ~/.openclaw
poll_every: 30s
thresholds:
  stuck_after: 20m
  confirm_for: 60s
  long_running_after: 60m
  startup_grace: 5m
recovery:
  mode: recover
  ladder: [resume, new]
  verify_within: 90s
  backoff: [1m, 5m, 30m]
  budget: {attempts: 3, per: 72h}
  gateway_budget: {attempts: 20, per: 1h}
  max_concurrent: 2
  fleet_breaker: {sessions: 10, share: 0.5}
  resume_max_age: 2h
  resume_message: null
policies:
  - name: background
    match: {kind: [cron, subagent, acp]}
    recovery: {ladder: [notify]}
notify: []
status_page: {listen: 127.0.0.1:18795}
heartbeat_url: null
state_dir: null
log: {format: auto, level: info}
allow_short_thresholds: false
"""


def test_the_contracts_own_example_is_the_defaults() -> None:
    loaded = parse(CONTRACT, env={"HOME": "/home/me"})
    ours, theirs = effective(loaded), effective(parse("", env={}))
    assert ours.pop("gateways")[0]["token"] == "${OPENCLAW_GATEWAY_TOKEN}"
    theirs.pop("gateways")
    assert ours.pop("policies")[0] == theirs.pop("policies")[0]
    assert ours == theirs
    assert schema_accepts(CONTRACT)


# --- the template --------------------------------------------------------------------------------------------------


def test_the_example_is_the_template_without_facts() -> None:
    assert render_example() == render_template(schema="./schema.json")
    assert render_template().startswith("# Configuration of openclaw-watchdog.\n")


def test_found_gateways_are_filled_in() -> None:
    found = [
        FoundGateway("home", "ws://127.0.0.1:18789", "/home/me/.openclaw", note="OpenClaw 2026.9.6\nand more"),
        FoundGateway("work", token="${WORK_TOKEN}"),
        FoundGateway("here", stands_for_all=True),
        FoundGateway("odd", "wss://x.y/#not", "/srv/a: b #c", token_file="/run/{x}"),
    ]
    text = render_template(found)
    assert "  # Found: OpenClaw 2026.9.6 and more\n" in text
    assert text.count("Its name in logs") == 1
    text = text.replace("#not", "")
    home, work, here, odd = parse(text, env={}).config.gateways
    assert (home.name, home.url, str(home.state_dir)) == ("home", "ws://127.0.0.1:18789", "/home/me/.openclaw")
    assert work.token is not None
    assert (work.url, work.discover, work.token.get_secret_value()) == (None, None, "${WORK_TOKEN}")
    assert (here.url, here.discover) == (None, "local")
    assert (str(odd.state_dir), odd.token_file) == ("/srv/a: b #c", "/run/{x}")


def test_a_token_itself_never_goes_into_the_file() -> None:
    with pytest.raises(ValueError, match="only a"):
        render_template([FoundGateway(token="hunter2")])


# --- the schema ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "thresholds:\npolicies:\nnotify:\ngateways:\nlog:\n",
        "notify: [ntfy://x, {url: ntfy://y, on: [stuck]}, {url: ntfy://y, on: stuck}]",
        "policies: [{match: {kind: cron, key: [a, b]}, thresholds: {stuck_after: 1h30m}}]",
        "gateways: [{discover: local}, {url: 'ws://a', state_dir: none}]",
        "gateway_restart: {command: a b}",
        "gateway_restart: {command: [a, b], max_per_6h: 1}",
        "status_page: null",
    ],
)
def test_the_schema_accepts(text: str) -> None:
    assert schema_accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "poll_evry: 30s",
        "poll_every: 30",
        "poll_every: 30x",
        "poll_every: 22:30",
        "poll_every: 1.5h",
        "poll_every: 30m1h",
        "poll_every: ''",
        "recovery: {mode: auto}",
        "recovery: {ladder: [restart]}",
        "recovery: {budget: {attempts: 0}}",
        "recovery: {fleet_breaker: {share: 2}}",
        "policies: [{match: {kind: chron}}]",
        "policies: [{match: {kind: []}}]",
        "notify: [{on: [stuck]}]",
        "notify: [5]",
        "gateways: [{token: 5}]",
        "gateways: {name: a}",
        "log: {level: INFO}",
        "allow_short_thresholds: yes",
    ],
)
def test_the_schema_refuses_what_load_refuses(text: str) -> None:
    assert not schema_accepts(text)
    with pytest.raises(ConfigError):
        parse(text, env={})


def test_an_override_shows_no_default_of_its_own() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["ThresholdsSection"]["properties"]["stuck_after"]["default"] == "20m"
    override = definitions["ThresholdsOverride"]["properties"]["stuck_after"]
    assert "default" not in override
    assert override["description"].endswith("Default: as outside the policies.")


def test_the_schema_is_plain_json() -> None:
    text = json.dumps(json_schema())
    assert json.loads(text)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "``" not in text
