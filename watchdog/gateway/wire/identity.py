"""The watchdog's own devices: ed25519 keys in files of 0600, their signature, and the tokens gateways gave them.

Facts, measured on 2026.3.24, 4.14, 5.18 and 9.6: a device's id is the hex SHA-256 of its raw 32-byte public key; key and
signature travel as base64url without padding; the signed text is
``v3|deviceId|clientId|clientMode|role|scope,scope|signedAtMs|token|nonce|platform|deviceFamily`` with exactly the scopes
and the token of the same ``connect`` (``auth.token``, else ``auth.deviceToken``; a password is not signed), platform and
family trimmed and with A-Z lower-cased. ``signedAt`` more than two minutes off the gateway's clock is refused (source of
3.24), so sign the challenge's own ``ts`` where it has one.

Invariants: a key file is complete the moment it has its name and is never written again; two processes that create it
at once end with the same key; a key or token file others can read is refused; the tokens of one gateway are in no other's
file. Limit: a token file is replaced as a whole, so of two processes saving at the same instant one token may be lost, which
costs one sign-in by shared token.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nacl.bindings

from watchdog.service.errors import GatewayError
from watchdog.service.secret import Secret

_MAX_FILE_BYTES = 1024 * 1024
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


class IdentityError(GatewayError):
    """A key or token file of ours cannot be used: unreadable, readable by others, damaged, or its folder not writable."""

    def __init__(self, path: Path, problem: str, way_out: str) -> None:
        super().__init__(f"{path}: {problem}; {way_out}.")
        self.path = path


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """One ed25519 device. Shows its id only."""

    device_id: str
    public_key: str = field(repr=False)
    """base64url without padding, of the raw 32 bytes."""
    _secret_key: bytes = field(repr=False, compare=False)
    """Seed and public key, 64 bytes, as libsodium takes it."""

    @classmethod
    def of(cls, seed: bytes) -> DeviceIdentity:
        """The device of this seed (32 bytes), from which ed25519 derives everything."""
        public, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        return cls(hashlib.sha256(public).hexdigest(), _base64url(public), secret)

    @classmethod
    def load_or_create(cls, path: Path) -> DeviceIdentity:
        """The device whose key lies at ``path``; a new one if nothing does. Raises ``IdentityError``."""
        try:
            pem = _read_private(path)
        except FileNotFoundError:
            pem = _create(path)
        seed = _seed_in(pem)
        if seed is None:
            raise IdentityError(
                path, "it holds no ed25519 key", "move it away and restart: a new device is made and paired"
            )
        return cls.of(seed)

    def sign(self, text: str) -> str:
        """The signature of ``text``, base64url without padding."""
        signed = nacl.bindings.crypto_sign(text.encode(), self._secret_key)
        return _base64url(signed[: nacl.bindings.crypto_sign_BYTES])

    def connect_device(
        self,
        *,
        client_id: str,
        client_mode: str,
        role: str,
        scopes: Sequence[str],
        signed_at_ms: int,
        token: Secret | None,
        nonce: str,
        platform: str,
        device_family: str = "",
    ) -> dict[str, Any]:
        """The ``device`` object of a ``connect`` request that sends exactly these values."""
        text = signature_text(
            device_id=self.device_id,
            client_id=client_id,
            client_mode=client_mode,
            role=role,
            scopes=scopes,
            signed_at_ms=signed_at_ms,
            token=token,
            nonce=nonce,
            platform=platform,
            device_family=device_family,
        )
        return {
            "id": self.device_id,
            "publicKey": self.public_key,
            "signature": self.sign(text),
            "signedAt": signed_at_ms,
            "nonce": nonce,
        }


def signature_text(
    *,
    device_id: str,
    client_id: str,
    client_mode: str,
    role: str,
    scopes: Sequence[str],
    signed_at_ms: int,
    token: Secret | None,
    nonce: str,
    platform: str,
    device_family: str = "",
) -> str:
    """The v3 text a device signs. It contains the token: never log it."""
    parts = (
        "v3",
        device_id,
        client_id,
        client_mode,
        role,
        ",".join(scopes),
        str(signed_at_ms),
        token.reveal() if token is not None else "",
        nonce,
        _plain_lower(platform),
        _plain_lower(device_family),
    )
    return "|".join(parts)


class DeviceTokens:
    """Tokens gateways issued to our devices, kept per gateway url, device, role and set of scopes; a file a gateway. Beside
    them, which of our devices were let in there.

    Whatever one gateway issues, the tokens of the others are not touched by it. A file that is missing or no longer JSON
    counts as empty: every token in it can be had again with the shared token. ``path``: the file that held the tokens of all
    gateways before; it is read where a gateway has no file of its own yet, never written, and not missed when it cannot be
    used. The files lie beside it in a folder of the same name.
    """

    def __init__(self, path: Path) -> None:
        self._shared = path
        self._folder = path.with_suffix("")

    def __repr__(self) -> str:
        return f"DeviceTokens({str(self._folder)!r})"

    def get(self, url: str, device_id: str, role: str, scopes: Collection[str]) -> Secret | None:
        """The token for exactly this, or None."""
        token = self._load(url).tokens.get(_token_key(url, device_id, role, scopes))
        return Secret.of(token)

    def save(self, url: str, device_id: str, role: str, scopes: Collection[str], token: Secret) -> None:
        """Keep ``token`` in place of an older one; nothing, if it is none that a gateway would issue (``is_device_token``).
        Raises ``IdentityError`` when it cannot be written."""
        if not is_device_token(token.reveal()):
            return
        kept = self._load(url)
        key = _token_key(url, device_id, role, scopes)
        if kept.tokens.get(key) != token.reveal():
            self._replace(url, replace(kept, tokens=kept.tokens | {key: token.reveal()}))

    def forget(self, url: str, device_id: str, role: str, scopes: Collection[str]) -> bool:
        """Drop a token the gateway no longer takes; True if there was one."""
        kept = self._load(url)
        if kept.tokens.pop(_token_key(url, device_id, role, scopes), None) is None:
            return False
        self._replace(url, kept)
        return True

    def was_let_in(self, url: str, device_id: str) -> bool:
        """``note_let_in`` was told so."""
        return device_id in self._load(url).let_in

    def note_let_in(self, url: str, device_id: str) -> None:
        """This device was let in there. Raises ``IdentityError`` when that cannot be written."""
        kept = self._load(url)
        if device_id not in kept.let_in:
            self._replace(url, replace(kept, let_in=kept.let_in | {device_id}))

    def _file(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(_plain_url(url).encode()).hexdigest()[:32]}.json"

    def _load(self, url: str) -> _Kept:
        """What is kept of this gateway."""
        try:
            return _kept_in(_read_private(self._file(url)), url)
        except FileNotFoundError:
            pass
        try:
            return _kept_in(_read_private(self._shared), url)
        except (FileNotFoundError, IdentityError):
            return _Kept()

    def _replace(self, url: str, kept: _Kept) -> None:
        content = {"version": 1, "tokens": kept.tokens, "let_in": sorted(kept.let_in)}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        file = self._file(url)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(self._folder, error) from error
        with _beside(file, text.encode()) as written:
            written.replace(file)
            _sync_folder(self._folder)


def is_device_token(text: str) -> bool:
    """It may be a token that a gateway issues to a device: 43 letters and digits on 2026.3.24 to 9.6. Anything else is not
    worth keeping, and would be cut out of every log line where it happens to stand."""
    return _DEVICE_TOKEN.fullmatch(text) is not None  # guard: wire: the size of a device token


_DEVICE_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,4096}")


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one gateway's file holds."""

    tokens: dict[str, str] = field(default_factory=dict)
    let_in: frozenset[str] = frozenset()


def _kept_in(content: bytes, url: str) -> _Kept:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return _Kept()
    found = found if isinstance(found, dict) else {}
    entries, let_in = found.get("tokens"), found.get("let_in")
    entries = entries if isinstance(entries, dict) else {}
    let_in = let_in if isinstance(let_in, list) else []
    start = json.dumps([_plain_url(url)])[:-1]
    return _Kept(
        {key: token for key, token in entries.items() if key.startswith(start) and isinstance(token, str)},
        frozenset(device for device in let_in if isinstance(device, str)),
    )


def _plain_url(url: str) -> str:
    return url.strip().rstrip("/")


def _token_key(url: str, device_id: str, role: str, scopes: Collection[str]) -> str:
    return json.dumps([_plain_url(url), device_id, role, sorted(set(scopes))])


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _plain_lower(text: str) -> str:
    return text.strip().translate(_LOWER)


# ---------------------------------------------------------------- PKCS #8

_PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")
"""What comes before the 32 bytes of the seed, always (RFC 8410, section 7)."""
_PEM_BEGIN, _PEM_END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"


def _pem_of(seed: bytes) -> bytes:
    """As openssl and every other tool writes and reads it."""
    return f"{_PEM_BEGIN}\n{base64.b64encode(_PKCS8_ED25519 + seed).decode()}\n{_PEM_END}\n".encode()


def _seed_in(pem: bytes) -> bytes | None:
    """The seed in an unencrypted ed25519 key in PEM, None if it is anything else."""
    try:
        lines = pem.decode("ascii").split()
        body = "".join(lines[3:-3]) if " ".join(lines[:3]) == _PEM_BEGIN and " ".join(lines[-3:]) == _PEM_END else ""
        der = base64.b64decode(body, validate=True)
    except ValueError:
        return None
    seed = der.removeprefix(_PKCS8_ED25519)
    return seed if len(der) - len(seed) == len(_PKCS8_ED25519) and len(seed) == 32 else None


# ---------------------------------------------------------------- files of 0600


def _read_private(path: Path) -> bytes:
    """The bytes of a file that only its owner can read. FileNotFoundError passes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        way_out = "it must be a plain file that the watchdog's user can read"
        raise IdentityError(path, f"cannot be opened ({_said(error)})", way_out) from error
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_FILE_BYTES:
            raise IdentityError(path, "is no plain file of a sensible size", "move it away")
        if info.st_mode & 0o077:
            mode = stat.S_IMODE(info.st_mode)
            raise IdentityError(path, f"others can read or write it (mode {mode:04o})", f"run: chmod 600 {path}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise IdentityError(path, f"cannot be read ({_said(error)})", "check the disk") from error
    finally:
        os.close(descriptor)


def _create(path: Path) -> bytes:
    """Make a key and give it its name only when complete; whoever comes second takes the first one's key."""
    pem = _pem_of(secrets.token_bytes(nacl.bindings.crypto_sign_SEEDBYTES))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _not_writable(path, error) from error
    with _beside(path, pem) as written:
        try:
            os.link(written, path)  # like O_EXCL: fails when the name is taken, and the content is there from the start
        except FileExistsError:
            return _read_private(path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise _not_writable(path, error) from error
            return _create_without_links(path, pem)
    _sync_folder(path.parent)
    return pem


def _create_without_links(path: Path, pem: bytes) -> bytes:
    """File systems without hard links (FAT, some network shares)."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read_private(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return pem


@contextlib.contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    """A temporary file of 0600 beside ``path`` with this content on disk; removed if it is still there afterwards."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield Path(name)
        except OSError as error:
            raise _not_writable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - the rest of this is os-level too


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can; the file itself is on disk
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _not_writable(path: Path, error: OSError) -> IdentityError:
    return IdentityError(
        path, f"cannot be written ({_said(error)})", "check state_dir: in watchdog.yaml and the free space"
    )


def _said(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
