from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from watchdog.gateway.wire.identity import (
    DeviceIdentity,
    DeviceTokens,
    IdentityError,
    signature_text,
)
from watchdog.service.errors import WatchdogError
from watchdog.service.secret import Secret

TOKEN = Secret("tok-test-0123456789abcdef")
DEVICE_KEY_NAME, PROBE_KEY_NAME = "device.pem", "probe-device.pem"
ADMIN = ("operator.read", "operator.write", "operator.admin")


def unpadded(text: str) -> bytes:
    assert "=" not in text
    assert not set(text) & set("+/")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------- the signature


def test_the_signed_text_is_the_measured_one() -> None:
    """The example of gateway/2026.9.6.md, section 2."""
    text = signature_text(
        device_id="7c81f0b8",
        client_id="gateway-client",
        client_mode="backend",
        role="operator",
        scopes=ADMIN,
        signed_at_ms=1795163944499,
        token=TOKEN,
        nonce="2b495ef5",
        platform=" Linux ",
        device_family="",
    )
    assert text == (
        "v3|7c81f0b8|gateway-client|backend|operator|operator.read,operator.write,operator.admin|1795163944499|"
        "tok-test-0123456789abcdef|2b495ef5|linux|"
    )


def test_without_a_token_its_place_is_empty_and_only_ascii_is_lowered() -> None:
    text = signature_text(
        device_id="d",
        client_id="cli",
        client_mode="cli",
        role="operator",
        scopes=(),
        signed_at_ms=1,
        token=None,
        nonce="n",
        platform="DARWİN",
        device_family="MacÉ",
    )
    assert text == "v3|d|cli|cli|operator||1||n|darwİn|macÉ"


@given(
    seed=st.binary(min_size=32, max_size=32),
    scopes=st.lists(st.sampled_from(ADMIN), unique=True),
    token=st.one_of(st.none(), st.text(min_size=1, max_size=20).filter(str.strip).map(Secret)),
    nonce=st.uuids().map(str),
    signed_at=st.integers(min_value=0, max_value=2**53),
)
def test_a_gateway_can_verify_it(
    seed: bytes, scopes: list[str], token: Secret | None, nonce: str, signed_at: int
) -> None:
    """What the gateway does: id from the key, the text from the request, the signature over it."""
    identity = DeviceIdentity.of(seed)
    device = identity.connect_device(
        client_id="gateway-client",
        client_mode="backend",
        role="operator",
        scopes=scopes,
        signed_at_ms=signed_at,
        token=token,
        nonce=nonce,
        platform="linux",
    )
    raw = unpadded(device["publicKey"])
    assert len(raw) == 32
    assert device["id"] == hashlib.sha256(raw).hexdigest() == identity.device_id
    assert (device["signedAt"], device["nonce"]) == (signed_at, nonce)
    said = (
        f"v3|{device['id']}|gateway-client|backend|operator|{','.join(scopes)}|{signed_at}|"
        f"{token.reveal() if token else ''}|{nonce}|linux|"
    )
    key = Ed25519PublicKey.from_public_bytes(raw)
    key.verify(unpadded(device["signature"]), said.encode())
    with pytest.raises(InvalidSignature):
        key.verify(unpadded(device["signature"]), said.replace("|operator|", "|node|").encode())


# ---------------------------------------------------------------- the key file


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "state" / "deeper" / DEVICE_KEY_NAME
    first = DeviceIdentity.load_or_create(path)
    assert mode_of(path) == 0o600
    assert mode_of(path.parent) == 0o700
    content, made = path.read_bytes(), path.stat().st_mtime_ns
    assert DeviceIdentity.load_or_create(path) == first
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, made)
    assert [child.name for child in path.parent.iterdir()] == [DEVICE_KEY_NAME]


def test_the_probe_is_another_device(tmp_path: Path) -> None:
    own, probe = (DeviceIdentity.load_or_create(tmp_path / name) for name in (DEVICE_KEY_NAME, PROBE_KEY_NAME))
    assert own.device_id != probe.device_id


def test_it_does_not_show_its_key(tmp_path: Path) -> None:
    path = tmp_path / DEVICE_KEY_NAME
    identity = DeviceIdentity.load_or_create(path)
    assert repr(identity) == f"DeviceIdentity(device_id='{identity.device_id}')"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o777])
def test_a_key_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / DEVICE_KEY_NAME
    DeviceIdentity.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(IdentityError) as caught:
        DeviceIdentity.load_or_create(path)
    assert str(caught.value) == f"{path}: others can read or write it (mode {mode:04o}); run: chmod 600 {path}."
    assert isinstance(caught.value, WatchdogError)


@given(st.binary(min_size=32, max_size=32))
def test_the_key_file_is_what_other_tools_read_and_write(seed: bytes) -> None:
    """PKCS #8 in PEM, as ``openssl genpkey`` and ``cryptography`` have it."""
    witness = Ed25519PrivateKey.from_private_bytes(seed)
    theirs = witness.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DEVICE_KEY_NAME
        path.write_bytes(theirs)
        path.chmod(0o600)
        ours = DeviceIdentity.load_or_create(path)
        assert unpadded(ours.public_key) == witness.public_key().public_bytes_raw()
        assert unpadded(ours.sign("text")) == witness.sign(b"text")


def test_a_new_key_is_read_by_other_tools(tmp_path: Path) -> None:
    path = tmp_path / DEVICE_KEY_NAME
    ours = DeviceIdentity.load_or_create(path)
    theirs = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(theirs, Ed25519PrivateKey)
    assert theirs.public_key().public_bytes_raw() == unpadded(ours.public_key)


def other_key() -> bytes:
    return generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def encrypted_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pass")
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"-----BEGIN PRIVATE KEY-----\nAA", b"\x00" * 50, other_key(), encrypted_key(), b"\xff\xfe"],
    ids=["empty", "cut short", "zeros", "another kind", "encrypted", "no text"],
)
def test_a_damaged_or_foreign_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / DEVICE_KEY_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IdentityError, match="holds no ed25519 key; move it away"):
        DeviceIdentity.load_or_create(path)
    assert path.read_bytes() == content


def test_a_link_a_folder_and_a_fifo_are_refused(tmp_path: Path) -> None:
    DeviceIdentity.load_or_create(tmp_path / "real.pem")
    (tmp_path / "link.pem").symlink_to(tmp_path / "real.pem")
    (tmp_path / "folder.pem").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo.pem", 0o600)
    for name in ("link.pem", "folder.pem", "fifo.pem"):
        with pytest.raises(IdentityError):
            DeviceIdentity.load_or_create(tmp_path / name)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError, match=r"cannot be (opened|written) \("):
        DeviceIdentity.load_or_create(tmp_path / "file" / "state" / DEVICE_KEY_NAME)


def test_without_hard_links_it_still_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / DEVICE_KEY_NAME
    identity = DeviceIdentity.load_or_create(path)
    assert mode_of(path) == 0o600
    assert DeviceIdentity.load_or_create(path) == identity
    assert [child.name for child in tmp_path.iterdir()] == [DEVICE_KEY_NAME]


CREATE = """
import sys
from pathlib import Path
from watchdog.gateway.wire.identity import DeviceIdentity
print("ready", flush=True)
sys.stdin.readline()
print(DeviceIdentity.load_or_create(Path(sys.argv[1])).device_id)
"""


def test_processes_that_create_it_at_once_end_with_one_key(tmp_path: Path) -> None:
    path = tmp_path / "state" / DEVICE_KEY_NAME
    root = Path(__file__).parents[4]
    command = [sys.executable, "-c", CREATE, str(path)]
    racers = [
        subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    ids = set()
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0
        ids.add(out.strip())
    assert ids == {DeviceIdentity.load_or_create(path).device_id}
    assert [child.name for child in path.parent.iterdir()] == [DEVICE_KEY_NAME]


# ---------------------------------------------------------------- device tokens

URL = "ws://127.0.0.1:18789"


OTHER_URL = "ws://127.0.0.1:19001"


def token(letter: str = "t") -> Secret:
    return Secret(letter * 43)


def files(folder: Path) -> list[Path]:
    """Whatever lies in there, at any depth."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def shared_file(path: Path, tokens: dict[str, str]) -> Path:
    """As versions before wrote it, for all gateways."""
    path.write_text(json.dumps({"version": 1, "tokens": tokens}))
    path.chmod(0o600)
    return path


def shared_key(url: str, scopes: tuple[str, ...] = ADMIN) -> str:
    return json.dumps([url, "d", "operator", sorted(scopes)])


def test_tokens_are_kept_per_gateway_device_role_and_scopes(tmp_path: Path) -> None:
    path = tmp_path / "device-tokens.json"
    tokens = DeviceTokens(path)
    assert tokens.get(URL, "d", "operator", ADMIN) is None
    tokens.save(URL, "d", "operator", ADMIN, token("1"))
    tokens.save(URL, "d", "operator", ("operator.read",), token("2"))
    tokens.save(OTHER_URL, "d", "operator", ADMIN, token("3"))
    tokens.save(URL, "probe", "operator", ADMIN, token("4"))

    again = DeviceTokens(path)
    assert again.get(URL + "/", "d", "operator", ADMIN[::-1]) == token("1")
    assert again.get(URL, "d", "operator", ["operator.read"]) == token("2")
    assert again.get(OTHER_URL, "d", "operator", ADMIN) == token("3")
    assert again.get(URL, "probe", "operator", ADMIN) == token("4")
    assert again.get(URL, "d", "node", ADMIN) is None
    assert [mode_of(file) for file in files(tmp_path)] == [0o600, 0o600], "a file a gateway"
    assert mode_of(tmp_path / "device-tokens") == 0o700
    assert "1111" not in repr(again)


def test_where_a_device_was_let_in_is_remembered_beside_its_tokens(tmp_path: Path) -> None:
    path = tmp_path / "device-tokens.json"
    tokens = DeviceTokens(shared_file(path, {shared_key(URL): "1" * 43}))
    assert not tokens.was_let_in(URL, "d"), "a token of a time before this was written down says nothing of it"
    tokens.note_let_in(URL, "d")
    tokens.save(URL, "d", "operator", ("operator.read",), token("2"))
    tokens.forget(URL, "d", "operator", ("operator.read",))
    again = DeviceTokens(path)
    assert again.was_let_in(URL + "/", "d")
    assert not again.was_let_in(URL, "another key")
    assert not again.was_let_in(OTHER_URL, "d")
    assert again.get(URL, "d", "operator", ADMIN) == token("1")
    (file,) = (tmp_path / "device-tokens").iterdir()
    before = file.stat().st_ino
    again.note_let_in(URL, "d")
    assert file.stat().st_ino == before


@pytest.mark.parametrize("let_in", [None, "d", {"d": 1}, [7, ["d"], None]])
def test_a_damaged_note_of_where_it_was_let_in_counts_as_none(tmp_path: Path, let_in: object) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    tokens.note_let_in(URL, "d")
    (file,) = files(tmp_path)
    file.write_text(json.dumps({"version": 1, "tokens": {}, "let_in": let_in}))
    assert not tokens.was_let_in(URL, "d")
    tokens.note_let_in(URL, "d")
    assert tokens.was_let_in(URL, "d")


def test_a_token_is_replaced_and_forgotten(tmp_path: Path) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    for letter in "on":
        tokens.save(URL, "d", "operator", ADMIN, token(letter))
    assert tokens.get(URL, "d", "operator", ADMIN) == token("n")
    assert tokens.forget(URL, "d", "operator", ADMIN)
    assert not tokens.forget(URL, "d", "operator", ADMIN)
    assert tokens.get(URL, "d", "operator", ADMIN) is None


def test_the_same_token_is_not_written_twice(tmp_path: Path) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    tokens.save(URL, "d", "operator", ADMIN, token())
    (file,) = files(tmp_path)
    inode = file.stat().st_ino
    tokens.save(URL, "d", "operator", ADMIN, token())
    assert file.stat().st_ino == inode


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tokens": 3}', '{"tokens": {"x": 5}}', "[" * 100_000])
def test_a_damaged_token_file_counts_as_empty_and_heals(tmp_path: Path, content: str) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    tokens.save(URL, "d", "operator", ADMIN, token())
    (file,) = files(tmp_path)
    file.write_text(content)
    assert tokens.get(URL, "d", "operator", ADMIN) is None
    tokens.save(URL, "d", "operator", ADMIN, token())
    assert tokens.get(URL, "d", "operator", ADMIN) == token()


def test_a_token_file_others_can_read_is_refused_and_harms_its_own_gateway_alone(tmp_path: Path) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    tokens.save(URL, "d", "operator", ADMIN, token())
    (file,) = files(tmp_path)
    tokens.save(OTHER_URL, "d", "operator", ADMIN, token("o"))
    file.chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600"):
        tokens.get(URL, "d", "operator", ADMIN)
    assert tokens.get(OTHER_URL, "d", "operator", ADMIN) == token("o")


def test_an_old_file_survives_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    tokens.save(URL, "d", "operator", ADMIN, token("o"))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IdentityError, match=r"cannot be written \(no space left on device\)"):
        tokens.save(URL, "d", "operator", ADMIN, token("n"))
    monkeypatch.undo()
    assert tokens.get(URL, "d", "operator", ADMIN) == token("o")
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    "odd", ["x" * 2_000_000, "x" * 4097, "short", "gateway home", "half \ud83d emoji and more", "a\n" * 20]
)
def test_what_no_gateway_issues_is_not_kept(tmp_path: Path, odd: str) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    tokens.save(OTHER_URL, "d", "operator", ADMIN, token("o"))
    tokens.save(URL, "d", "operator", ADMIN, token())
    tokens.save(URL, "d", "operator", ADMIN, Secret(odd))
    assert tokens.get(URL, "d", "operator", ADMIN) == token(), "the one before is kept"
    assert tokens.get(OTHER_URL, "d", "operator", ADMIN) == token("o")
    assert sum(file.stat().st_size for file in files(tmp_path)) < 1000


def test_however_many_gateways_there_are_none_fills_the_others_file(tmp_path: Path) -> None:
    """One file of them all is full, and refused, at 5,411."""
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    for port in range(300):
        tokens.save(f"ws://127.0.0.1:{port}", "d", "operator", ADMIN, Secret("x" * 4096))
    assert tokens.get("ws://127.0.0.1:7", "d", "operator", ADMIN) == Secret("x" * 4096)
    assert {file.stat().st_size < 8192 for file in files(tmp_path)} == {True}
    assert len(files(tmp_path)) == 300


# ---------------------------------------------------------------- the file that all gateways shared before


def test_tokens_of_the_shared_file_are_taken_along(tmp_path: Path) -> None:
    path = tmp_path / "device-tokens.json"
    read = ("operator.read",)
    old = {shared_key(URL): "1" * 43, shared_key(URL, read): "2" * 43, shared_key(OTHER_URL): "3" * 43}
    tokens = DeviceTokens(shared_file(path, old))
    assert tokens.get(URL, "d", "operator", ADMIN) == token("1")
    assert tokens.get(OTHER_URL, "d", "operator", ADMIN) == token("3")
    before = path.read_bytes()
    tokens.save(URL, "d", "operator", ADMIN, token("n"))
    assert tokens.get(URL, "d", "operator", ADMIN) == token("n")
    assert tokens.get(URL, "d", "operator", read) == token("2"), "taken along"
    assert tokens.get(OTHER_URL, "d", "operator", ADMIN) == token("3")
    assert path.read_bytes() == before
    assert "3" * 43 not in files(tmp_path / "device-tokens")[0].read_text(), "another gateway's stays where it is"


def test_a_forgotten_token_does_not_come_back_from_the_shared_file(tmp_path: Path) -> None:
    tokens = DeviceTokens(shared_file(tmp_path / "device-tokens.json", {shared_key(URL): "1" * 43}))
    assert tokens.forget(URL, "d", "operator", ADMIN)
    assert tokens.get(URL, "d", "operator", ADMIN) is None


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_shared_file_that_cannot_be_used_is_not_missed(tmp_path: Path, mode: int) -> None:
    """2 MB, from a gateway that issued a token of that size: it put every gateway out of action."""
    path = shared_file(tmp_path / "device-tokens.json", {shared_key(URL): "x" * 2_000_000})
    path.chmod(mode)
    tokens = DeviceTokens(path)
    assert tokens.get(URL, "d", "operator", ADMIN) is None
    tokens.save(URL, "d", "operator", ADMIN, token())
    assert tokens.get(URL, "d", "operator", ADMIN) == token()
