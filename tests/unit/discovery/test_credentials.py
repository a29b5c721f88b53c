from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.discovery.support import Machine
from watchdog.discovery.credentials import Credentials, CredentialUnavailable, gateway_credentials
from watchdog.service.errors import GatewayError
from watchdog.service.secret import Secret


def credentials_of(
    auth: object, env: dict[str, str] | None = None, secrets: object = None, home: Path = Path("/nonexistent")
) -> Credentials:
    config: dict[str, object] = {"gateway": {"auth": auth}, "secrets": secrets or {}}
    return gateway_credentials(config, Path("/c/openclaw.json"), env or {}, home)


def token_of(
    auth: object, env: dict[str, str] | None = None, secrets: object = None, home: Path = Path("/none")
) -> str:
    source = credentials_of(auth, env, secrets, home).token
    assert source is not None
    return source().reveal()


ENV = {"MY_TOKEN": "from-env", "OTHER": "x"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-token", "plain-token"),
        ("  padded\n", "padded"),
        ("${MY_TOKEN}", "from-env"),
        ("$MY_TOKEN", "from-env"),
        ("pre-${MY_TOKEN}-${OTHER}", "pre-from-env-x"),
        ("$${MY_TOKEN}", "${MY_TOKEN}"),
        ("${lower}", "${lower}"),
        ("pa$$word", "pa$$word"),
        ("$MY-token", "$MY-token"),
        ("secretref-env:MY_TOKEN", "from-env"),
        ({"source": "env", "provider": "default", "id": "MY_TOKEN"}, "from-env"),
        ({"source": "env", "id": "MY_TOKEN"}, "from-env"),
    ],
)
def test_forms_that_need_no_file(value: object, expected: str) -> None:
    assert token_of({"token": value}, ENV) == expected


def test_the_config_wins_over_the_environment_and_the_environment_fills_in() -> None:
    """Server side of 3.24, 4.14, 5.18 and 9.6: config-first."""
    env = {"OPENCLAW_GATEWAY_TOKEN": "env-token", "OPENCLAW_GATEWAY_PASSWORD": "env-password"}
    assert token_of({"token": "config-token"}, env) == "config-token"
    found = credentials_of({}, env)
    assert found.token is not None
    assert found.password is not None
    assert (found.token(), found.password()) == (Secret("env-token"), Secret("env-password"))
    assert found.token.origin == "environment variable OPENCLAW_GATEWAY_TOKEN"


@pytest.mark.parametrize(
    ("mode", "has_token", "has_password"),
    [
        (None, True, True),
        ("token", True, False),
        ("password", False, True),
        ("none", False, False),
        ("trusted-proxy", False, True),
    ],
)
def test_the_mode_decides_what_is_taken(mode: str | None, has_token: bool, has_password: bool) -> None:
    found = credentials_of({"mode": mode, "token": "t", "password": "p"})
    assert (found.token is not None, found.password is not None) == (has_token, has_password)
    assert found.mode == mode


def test_nothing_configured_is_no_error() -> None:
    assert credentials_of({}) == Credentials(None, None, None)
    assert credentials_of({"token": "", "password": None}) == Credentials(None, None, None)


def test_a_source_shows_its_origin_and_nothing_else() -> None:
    source = credentials_of({"token": "sekrit"}).token
    assert "sekrit" not in f"{source} {source!r}"
    assert repr(source) == "SecretSource(origin='gateway.auth.token in /c/openclaw.json')"


@pytest.mark.parametrize(
    ("value", "secrets", "says"),
    [
        ("${NOT_SET}", None, "refers to the environment variable NOT_SET, which is not set here; add NOT_SET to"),
        ("a-${NOT_SET}", None, "NOT_SET"),
        ({"source": "env", "id": "NOT_SET"}, None, "set token: (or password:) of this gateway in watchdog.yaml"),
        (
            {"source": "env", "id": "MY_TOKEN"},
            {"providers": {"default": {"source": "env", "allowlist": []}}},
            "allowlist",
        ),
        ({"source": "exec", "id": "a/b"}, None, "source 'exec' cannot be resolved outside the gateway; set token:"),
        ({"source": "store", "id": "A"}, None, "source 'store' cannot be resolved"),
        ({"source": "file", "id": "/a"}, None, "secrets.providers.default is no file provider"),
        ({"source": "file", "id": ""}, None, "no source or no id"),
        ({"id": "A"}, None, "no source or no id"),
        (17, None, "neither text nor a SecretRef"),
        ("__OPENCLAW_REDACTED__", None, "placeholder"),
        ("  ", None, "it is empty"),
    ],
)
def test_what_cannot_be_resolved_says_where_and_what_to_do(value: object, secrets: object, says: str) -> None:
    """A SecretRef stays authoritative: OPENCLAW_GATEWAY_TOKEN does not stand in for it (docs/secrets of 9.6)."""
    source = credentials_of({"token": value}, {**ENV, "OPENCLAW_GATEWAY_TOKEN": "env"}, secrets).token
    assert source is not None  # found, and no error yet: watchdog.yaml may give another token
    with pytest.raises(CredentialUnavailable) as caught:
        source()
    assert str(caught.value).startswith("gateway.auth.token in /c/openclaw.json: ")
    assert says in str(caught.value)
    assert isinstance(caught.value, GatewayError)


# ---------------------------------------------------------------- files


def file_secrets(path: str, **more: object) -> dict[str, object]:
    return {"providers": {"mine": {"source": "file", "path": path, **more}}, "defaults": {"file": "mine"}}


def test_a_json_file_is_resolved_by_pointer_and_read_anew_each_time(machine: Machine) -> None:
    path = machine.home / "secrets.json"
    path.write_text(json.dumps({"gate/way": {"to~ken": ["no", "first"]}}))
    ref = {"source": "file", "provider": "mine", "id": "/gate~1way/to~0ken/1"}
    source = credentials_of({"token": ref}, secrets=file_secrets("~/secrets.json"), home=machine.home).token
    assert source is not None
    assert source() == Secret("first")
    path.write_text(json.dumps({"gate/way": {"to~ken": ["no", "rotated"]}}))
    assert source() == Secret("rotated")


def test_a_single_value_file(machine: Machine) -> None:
    path = machine.home / "token.txt"
    path.write_bytes(b"\xef\xbb\xbfthe-token\r\n")
    ref = {"source": "file", "id": "value"}
    assert token_of({"token": ref}, secrets=file_secrets(str(path), mode="singleValue")) == "the-token"


@pytest.mark.parametrize(
    ("content", "pointer", "says"),
    [
        (None, "/a", "does not exist"),
        ('{"a": "sekrit"', "/a", "is not valid JSON"),
        ('{"a": "sekrit"}', "/b", "has no text at /b"),
        ('{"a": {"b": "sekrit"}}', "/a", "has no text at /a"),
        ('{"a": ["sekrit"]}', "/a/9", "has no text at /a/9"),
        ('{"a": ""}', "/a", "has no text at /a"),
        ('{"a": "sekrit"}', "a", "no JSON pointer"),
    ],
)
def test_a_bad_secrets_file_is_a_clear_error_without_its_content(
    machine: Machine, content: str | None, pointer: str, says: str
) -> None:
    path = machine.home / "secrets.json"
    if content is not None:
        path.write_text(content)
    source = credentials_of({"token": {"source": "file", "id": pointer}}, secrets=file_secrets(str(path))).token
    assert source is not None
    with pytest.raises(CredentialUnavailable, match=says) as caught:
        source()
    error: BaseException | None = caught.value
    while error is not None:
        assert "sekrit" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


def test_a_secrets_file_that_cannot_be_read(machine: Machine) -> None:
    (machine.home / "folder").mkdir()
    source = credentials_of(
        {"token": {"source": "file", "id": "/a"}}, secrets=file_secrets(str(machine.home / "folder"))
    ).token
    assert source is not None
    with pytest.raises(CredentialUnavailable, match="is no regular file"):
        source()
