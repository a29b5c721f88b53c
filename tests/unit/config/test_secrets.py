"""Secrets: had at the moment of use, and never shown."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config import (
    Config,
    ConfigError,
    GatewaySection,
    SecretError,
    diff,
    effective,
    missing_secrets,
    parse,
    resolve_secret,
)
from watchdog.config.references import expand, passwords_in, refers_only


def gateway(text: str, folder: Path | None = None) -> GatewaySection:
    return parse(f"gateways: [{{name: home, {text}}}]", env={}, folder=folder).config.gateways[0]


def failure(section: GatewaySection, name: str, env: dict[str, str]) -> str:
    with pytest.raises(SecretError) as caught:
        resolve_secret(section, name, env)
    return str(caught.value)


def test_plain_text_and_references() -> None:
    env = {"A": "one", "B": "two"}
    assert resolve_secret(gateway("token: plain"), "token", env) == "plain"
    assert resolve_secret(gateway("token: '${A}'"), "token", env) == "one"
    assert resolve_secret(gateway("password: 'x-${A}-${B}-$C-$${A}'"), "password", env) == "x-one-two-$C-${A}"
    assert resolve_secret(gateway("token: ' ${A}\n '"), "token", {"A": "one\r\n"}) == "one"
    assert resolve_secret(gateway("insecure: false"), "token", env) is None


def test_urls() -> None:
    config = parse("heartbeat_url: https://h/${ID}\nnotify: [ntfy://a, '${URL}']", env={}).config
    env = {"ID": "7", "URL": "tgram://b"}
    assert resolve_secret(config, "heartbeat_url", env) == "https://h/7"
    assert [resolve_secret(target, "url", env) for target in config.notify] == ["ntfy://a", "tgram://b"]
    assert resolve_secret(Config(), "heartbeat_url", env) is None


def test_files(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("  s3cret \n")
    assert resolve_secret(gateway("token_file: t", tmp_path), "token", {}) == "s3cret"
    assert resolve_secret(gateway("password_file: ~/t"), "password", {"HOME": str(tmp_path)}) == "s3cret"
    assert resolve_secret(gateway("token_file: '${DIR}/t'"), "token", {"DIR": str(tmp_path)}) == "s3cret"
    (tmp_path / "t").write_text("rotated")
    assert resolve_secret(gateway("token_file: t", tmp_path), "token", {}) == "rotated"


def test_a_missing_variable_is_named() -> None:
    hint = "(set A where the watchdog runs; a service does not see your shell's variables)"
    assert failure(gateway("token: '${A}'"), "token", {}) == (
        f"gateways[home].token: the environment variable A is not set {hint}"
    )
    assert failure(gateway("token: '${A}'"), "token", {"A": ""}) == (
        f"gateways[home].token: the environment variable A is empty {hint}"
    )
    assert failure(gateway("token: '${A}'"), "token", {"A": " "}) == (
        "gateways[home].token: there is nothing but white space in it"
    )
    assert failure(gateway("token_file: ~nobody-of-this-name/t"), "token", {}) == (
        "gateways[home].token_file: '~' has no meaning here: no home folder is known"
    )
    assert failure(gateway("token_file: '${A}/t'"), "token", {}) == (
        f"gateways[home].token_file: the environment variable A is not set {hint}"
    )


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    section = gateway("token_file: t", tmp_path)
    file = tmp_path / "t"
    hint = "(it holds the secret and nothing else)"
    assert failure(section, "token", {}) == f"gateways[home].token_file: there is no file {file} {hint}"
    file.mkdir()
    assert failure(section, "token", {}) == f"gateways[home].token_file: {file} cannot be read: is a directory"
    file.rmdir()
    for content, reason in {
        b"": "is empty",
        b" \n\n": "is empty",
        b"one\ntwo": "holds more than one line",
        b"\xff\xfe": "is not text",
        b"x" * 100_000: "holds more than one line",
    }.items():
        file.write_bytes(content)
        assert failure(section, "token", {}) == f"gateways[home].token_file: {file} {reason} {hint}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x")
    (tmp_path / "t").chmod(0)
    assert failure(gateway("token_file: t", tmp_path), "token", {}).endswith("cannot be read: permission denied")


def test_all_missing_secrets_with_their_places(tmp_path: Path) -> None:
    text = "gateways:\n  - token: ${A}\n  - discover: local\n    name: b\n    password_file: p\nnotify:\n  - ${C}\nheartbeat_url: ${D}\n"
    loaded = parse(text, file="w.yaml", env={}, folder=tmp_path)
    found = [str(problem).split(" (")[0] for problem in missing_secrets(loaded, {})]
    assert found == [
        "w.yaml:2:12: the environment variable A is not set",
        f"w.yaml:5:20: there is no file {tmp_path}/p",
        "w.yaml:7:5: the environment variable C is not set",
        "w.yaml:8:16: the environment variable D is not set",
    ]


def test_a_certificate_to_check_by_that_is_not_there_is_said_alike(tmp_path: Path) -> None:
    (tmp_path / "there.pem").touch()
    text = "gateways:\n" + "".join(
        f"  - {{name: {name}, url: 'wss://{name}.example', tls: {{ca_file: {file}}}}}\n"
        for name, file in {"a": "/nope", "b": ".", "c": "there.pem", "d": "~/home.pem"}.items()
    )
    loaded = parse(text, file="w.yaml", env={"HOME": str(tmp_path)}, folder=tmp_path)
    assert [str(problem) for problem in missing_secrets(loaded, {})] == [
        "w.yaml:2:54: there is no file /nope (it holds a certificate in PEM)",
        f"w.yaml:3:54: {tmp_path} cannot be read (it holds a certificate in PEM)",
        f"w.yaml:5:54: there is no file {tmp_path}/home.pem (it holds a certificate in PEM)",
    ]


SECRET = "hunter2"
EVERYWHERE = """\
gateways:
  - {name: a, token: hunter2}
  - {name: b, discover: local, password: 'x hunter2'}
notify:
  - ntfy://hunter2/topic
  - {url: 'tgram://hunter2@x', on: stuck}
heartbeat_url: https://hc-ping.com/hunter2
"""
BROKEN = [
    "gateways: [{token: [hunter2]}]",
    "gateways: [{token: {a: hunter2}}]",
    "gateways: [{token: 'hunter2${'}]",
    "gateways: [{url: 'ws://u:hunter2@h'}]",
    "gateways: [{url: 'hunter2 hunter2'}]",
    "gateways: [{url: 'ws://h/#hunter2'}]",
    "gateways: [{tokn: hunter2}]",
    "gateways: [hunter2]",
    "gateways: hunter2",
    "gateways: [{token: hunter2, token_file: hunter2, password: hunter2}]",
    "token: hunter2",
    "notify: hunter2",
    "notify: [hunter2]",
    "notify: [{url: [hunter2]}]",
    "notify: [{url: 'ntfy://hunter2', on: x}]",
    "heartbeat_url: hunter2",
    "heartbeat_url: ftp://hunter2",
    "log: hunter2",
    "gateways:\n  - token: hunter2\n token: hunter2",
    "gateways:\n  - token: 'hunter2",
    "gateways:\n  - token: *hunter2",
    "gateways:\n  - token: !hunter2",
    "gateways:\n  - token: hunter2\n    token: hunter2",
    "gateways: [{token: ${hunter2}}]",
]


@pytest.mark.parametrize("text", BROKEN)
def test_no_refusal_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, env={})
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_nothing_shown_of_a_loaded_file_is_a_secret() -> None:
    loaded = parse(EVERYWHERE, env={})
    other = parse(EVERYWHERE.replace("hunter2", "hunter22"), env={})
    shown = [effective(loaded), diff(loaded.config, other.config), repr(loaded.config), str(loaded.config), loaded]
    assert SECRET not in str(shown)
    assert len(diff(loaded.config, other.config)) == 4


def test_how_secrets_are_shown() -> None:
    text = EVERYWHERE + "gateway_restart: null\n"
    shown = effective(parse(text.replace("x hunter2", "${PASSWORD}"), env={}))
    assert [gateway.get("token") or gateway.get("password") for gateway in shown["gateways"]] == ["***", "${PASSWORD}"]
    assert [target["url"] for target in shown["notify"]] == ["ntfy://***", "tgram://***"]
    assert shown["heartbeat_url"] == "https://***"


def test_only_whole_references_are_shown() -> None:
    assert refers_only("${A}${B}")
    assert not refers_only("${A}x")
    assert not refers_only("$${A}")
    assert not refers_only("")


@given(st.text())
def test_text_without_references_is_left_alone(text: str) -> None:
    if "${" not in text:
        assert expand(text, {}) == text


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        ("postgresql://ann:s3cret@db/x", ("s3cret",)),
        ("postgresql://ann:s3:cr%40t@db/x", ("s3:cr%40t", "s3:cr@t")),
        ("postgresql://ann@db/x?sslmode=require&password=s3cret&a=b", ("s3cret",)),
        ("postgresql://db/x?sslpassword=s3cret", ("s3cret",)),
        ("postgresql://ann:one@db/x?password=two&sslpassword=thr%20ee", ("one", "two", "thr%20ee", "thr ee")),
        ("postgresql://ann@db:5432/x?host=/run/a:b@c", ()),
        ("postgresql:///x?sslmode=verify-full", ()),
    ],
)
def test_the_passwords_of_a_database_are_found(url: str, passwords: tuple[str, ...]) -> None:
    assert passwords_in(url) == passwords
