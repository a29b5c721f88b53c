"""Where each configured gateway is: what the file says, completed by what OpenClaw itself has written down.

Looked up afresh before every connect, so a rotated token, a moved port or a restarted gateway is found without a reload.

A section is one of three kinds. Without url: the gateway the environment means. ``LocalGateway``: the gateway of one
OpenClaw configuration, whoever the environment means. With a url of this machine: completed by the profile whose gateway
listens on that port. Limit: one that does not run completes nothing, unless the environment means it, because its port
may be a tunnel to another machine, where its token has no business and its files prove nothing.

Whose secret it is decides who may see it: on this machine, the far end of each connection must be of the account that the
gateway's files are of, or root's, or our own (``errors.ForeignListener``). A url with a secret of its own and without
``state_dir`` is taken as named: whoever listens there is meant.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from watchdog.config import GatewaySection, SecretError, resolve_secret
from watchdog.config.targets import ListedGateway
from watchdog.discovery.found import DiscoveredGateway
from watchdog.discovery.gateway_lock import Address
from watchdog.discovery.local_gateways import LocalGateway
from watchdog.discovery.machine import Machine
from watchdog.discovery.openclaw_config import CONFIG_NAMES, DiscoveryError
from watchdog.gateway.capabilities import READ
from watchdog.gateway.wire.addresses import is_local, is_same_place
from watchdog.gateway.wire.dial import CheckPeer, TlsTrust
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.identity import DeviceIdentity, DeviceTokens
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.service import errors
from watchdog.service.ownership import owner_of
from watchdog.service.secret import Secret

KeepSecret = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OpenclawCommand:
    """OpenClaw's own CLI, led to one gateway. ``places``: the variables that lead it there."""

    words: tuple[str, ...]
    places: Mapping[str, str] = field(default_factory=dict)

    def line(self, *arguments: str) -> str:
        """As it is typed into a shell."""
        return " ".join(
            [
                *(f"{name}={shlex.quote(value)}" for name, value in self.places.items()),
                shlex.join([*self.words, *arguments]),
            ]
        )


def url_of(section: GatewaySection, machine: Machine) -> str | None:
    """Where this gateway is now; None: that cannot be found out, or ``section`` stands for many. Blocks as reading files does."""
    if section.url is not None or section.discover is not None:
        return section.url
    try:
        found = _named_by_files(section, machine)
    except DiscoveryError:
        return None
    return found.url if found is not None else None


def _named_by_files(section: GatewaySection, machine: Machine) -> DiscoveredGateway | None:
    """The gateway of a section without url. Raises ``DiscoveryError``."""
    if not isinstance(section, LocalGateway):
        return machine.meant()
    if section.cell is not None:
        return machine.cell(section.cell)
    return machine.gateways((section.place,)).of(section.place.config_path)


class EndpointFinder:
    """Finds one gateway's endpoint. Every failure is an ``errors.GatewayError`` whose sentence names the way out."""

    def __init__(
        self,
        section: GatewaySection,
        *,
        machine: Machine,
        device: DeviceIdentity,
        tokens: DeviceTokens,
        on_secret: KeepSecret = lambda _secret: None,
    ) -> None:
        self._section = section
        self._machine = machine
        self._device = device
        self._tokens = tokens
        self._on_secret = on_secret

    def __call__(self) -> Endpoint:
        section = self._section
        found = self._discover()
        url = section.url or (found.url if found is not None else None)
        if url is None:
            raise errors.GatewayUnreachable(
                f"{section.name}: no url is configured and no OpenClaw gateway was found on this machine; "
                "set gateways[].url, or start the gateway."
            )
        local = found if found is not None and is_local(found.url) else None
        is_own, credentials = self._credentials(url, found)
        return Endpoint(
            url=url,
            credentials=credentials,
            is_known=self._tokens.was_let_in(url, self._device.device_id),
            check_peer=self._check_peer(found, is_secret_named=is_own),
            state_dir=self._state_dir(local),
            gateway_pid=local.pid if local is not None else None,
            insecure=section.insecure,
            tls=_trust(section),
            lock_created_at=local.lock_created_at if local is not None else None,
            openclaw=lambda: self._openclaw(url, local),
        )

    def process_started_at(self) -> datetime | None:
        """When the gateway of this section last started, by its live lock file; None: not known, or none lives here."""
        try:
            found = self._discover()
        except errors.GatewayError:
            return None
        return found.lock_created_at if found is not None else None

    def _discover(self) -> DiscoveredGateway | None:
        """What OpenClaw's own files say of this section's gateway; None: nothing, and its url is all there is."""
        section = self._section
        try:
            if isinstance(section, LocalGateway) or section.url is None:
                return _named_by_files(section, self._machine)
        except DiscoveryError as problem:
            raise errors.GatewayUnreachable(f"{section.name}: {problem}") from problem
        return self._beside(section.url) if is_local(section.url) else None

    def _openclaw(self, url: str, found: DiscoveredGateway | None) -> str | None:
        """How OpenClaw's CLI is run inside the fleet cell that listens there; None: no cell of this user does."""
        if not is_local(url) or (found is not None and found.cell is None):
            return None
        return next((cell.openclaw for cell in self._machine.known_cells() if is_same_place(url, cell.url)), None)

    def openclaw_here(self) -> OpenclawCommand | None:
        """How OpenClaw's CLI speaks to this section's gateway from here; None: it does not, the gateway is elsewhere or another
        account's. Raises ``errors.GatewayUnreachable``."""
        found = self._discover()
        url = self._section.url or (found.url if found is not None else None)
        local = found if found is not None and is_local(found.url) else None
        if url is None:
            return None
        if (inside := self._openclaw(url, local)) is not None:
            return OpenclawCommand(tuple(shlex.split(inside)))
        if local is None or local.cell is not None or local.owner not in (None, os.getuid()):
            return None
        places = {"OPENCLAW_CONFIG_PATH": str(local.config_path)}
        if local.state_dir is not None:
            places["OPENCLAW_STATE_DIR"] = str(local.state_dir)
        return OpenclawCommand(("openclaw",), places)

    def _beside(self, url: str) -> DiscoveredGateway | None:
        """The gateway of this machine that listens where ``url`` leads."""
        every = self._machine.gateways()
        for found in every.gateways:
            if is_same_place(url, found.url) and (found.is_alive or found.config_path == every.meant):
                return found
        return None

    def _check_peer(self, found: DiscoveredGateway | None, *, is_secret_named: bool) -> CheckPeer:
        """The question whose the port is, for a secret out of the section itself or out of what was found."""
        host, name = self._machine.host, self._section.name
        owner, why_not = self._owner(found, is_secret_named=is_secret_named)

        def check(ours: Address, theirs: Address) -> str | None:
            if owner is None:
                return why_not
            uid = host.peer_owner(ours, theirs)
            if uid is None or host.is_unmapped(uid):
                return "its owner cannot be seen from here"
            if uid in (owner, 0, os.getuid()):
                return None
            mine, other = host.account_name(owner), host.account_name(uid)
            raise errors.ForeignListener(
                f"{name}: {other} answers on port {theirs[1]}, and the gateway there is of {mine}: nothing secret was sent; "
                "stop what listens there, or, if it is a proxy of yours, give this gateway url and token and no state_dir."
            )

        return check

    def _owner(self, found: DiscoveredGateway | None, *, is_secret_named: bool) -> tuple[int | None, str]:
        """Whose the port must be; None: it is not asked, and why."""
        section = self._section
        if section.url is None or not is_secret_named:
            if found is not None and found.owner is not None:
                return found.owner, ""
            if found is not None and is_local(found.url):
                return None, "the owner of what the environment names is unknown"
            return None, "it is on another machine"
        if section.state_dir is None or section.state_dir == "none":
            return None, "its url is named in the configuration, without a state_dir"
        state_dir = Path(section.state_dir)
        owner = owner_of((state_dir / CONFIG_NAMES[0], state_dir), os.getuid(), self._machine.host, is_named=True)
        return (owner.uid, "") if owner is not None else (None, "the owner of its state_dir is unknown")

    def _credentials(self, url: str, found: DiscoveredGateway | None) -> tuple[bool, SignInSecrets]:
        """What to sign in with, and whether nothing of it came out of files that were found."""
        section = self._section
        try:
            token = Secret.of(resolve_secret(section, "token", self._machine.env))
            password = Secret.of(resolve_secret(section, "password", self._machine.env))
        except SecretError as problem:
            raise errors.AuthenticationRefused(f"{section.name}: {problem}") from problem
        is_named = token is not None or password is not None or found is None
        if not is_named and found is not None:
            try:
                token = found.token_source() if found.token_source is not None else None
                password = found.password() if token is None and found.password is not None else None
            except DiscoveryError as problem:
                raise errors.AuthenticationRefused(f"{section.name}: {problem}") from problem
        # guard: lists: a list is not given the token of the environment
        if token is None and password is None and found is None and not isinstance(section, ListedGateway):
            token = Secret.of(self._machine.env.get("OPENCLAW_GATEWAY_TOKEN"))
        device_token = self._tokens.get(url, self._device.device_id, "operator", (READ,))
        for secret in (token, password, device_token):
            if secret is not None:
                try:
                    self._on_secret(secret.reveal())
                except UnicodeError:  # OPENCLAW_GATEWAY_TOKEN, or a .env file
                    raise errors.AuthenticationRefused(
                        f"{section.name}: the bytes of its token or password are no UTF-8 text."
                    ) from None
        return is_named, SignInSecrets(
            token, password if token is None else None, device_token if token is None else None
        )

    def _state_dir(self, found: DiscoveredGateway | None) -> str | None:
        section = self._section
        if section.state_dir == "none":
            return None
        if section.state_dir is not None:
            return str(section.state_dir)
        return str(found.state_dir) if found is not None and found.state_dir is not None else None


def _trust(section: GatewaySection) -> TlsTrust | None:
    if section.tls is None:
        return None
    file = section.tls.ca_file
    return TlsTrust(str(file) if file is not None else None, section.tls.fingerprint)
