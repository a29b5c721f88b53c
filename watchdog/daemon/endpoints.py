"""Where each configured gateway is: what the file says, completed by what OpenClaw itself has written down.

Looked up afresh before every connect, so a rotated token, a moved port or a restarted gateway is found without a reload.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from watchdog.adapters.host import Host
from watchdog.config import Gateway as GatewaySection
from watchdog.config import SecretError, resolve_secret
from watchdog.gateway.capabilities import READ
from watchdog.gateway.client import Endpoint
from watchdog.gateway.dialing import is_loopback
from watchdog.gateway.discovery import DiscoveredGateway, discover
from watchdog.gateway.identity import DeviceIdentity, DeviceTokens
from watchdog.gateway.link import Credentials
from watchdog.gateway.openclaw_config import DiscoveryError
from watchdog.gateway.secrets import Secret
from watchdog.service import errors

KeepSecret = Callable[[str], None]


class EndpointFinder:
    """Finds one gateway's endpoint. Every failure is an ``errors.GatewayError`` whose sentence names the way out."""

    def __init__(
        self,
        section: GatewaySection,
        *,
        env: Mapping[str, str],
        home: Path,
        host: Host,
        device: DeviceIdentity,
        tokens: DeviceTokens,
        on_secret: KeepSecret = lambda _secret: None,
    ) -> None:
        self._section = section
        self._env = env
        self._home = home
        self._host = host
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
        local = found is not None and _same_place(url, found.url)
        return Endpoint(
            url=url,
            credentials=self._credentials(url, found if local or section.url is None else None),
            state_dir=self._state_dir(url, found if local else None),
            gateway_pid=found.pid if local and found is not None else None,
            insecure=section.insecure,
            lock_created_at=found.lock_created_at if local and found is not None and found.pid is not None else None,
        )

    def discovered(self) -> DiscoveredGateway | None:
        """What OpenClaw's own files say of the gateway on this machine, or None."""
        return self._discover(quietly=True)

    def process_started_at(self) -> datetime | None:
        """When the gateway of this section last started, by its live lock file; None: not known, or none lives here."""
        found = self.discovered()
        if found is None or found.pid is None:
            return None
        is_here = self._section.url is None or _same_place(self._section.url, found.url)
        return found.lock_created_at if is_here else None

    def _discover(self, *, quietly: bool = False) -> DiscoveredGateway | None:
        try:
            return discover(self._env, self._home, self._host, uid=os.getuid())
        except DiscoveryError as problem:
            if quietly or self._section.url is not None:
                return None
            raise errors.GatewayUnreachable(f"{self._section.name}: {problem}") from problem

    def _credentials(self, url: str, found: DiscoveredGateway | None) -> Credentials:
        section = self._section
        try:
            token = Secret.of(resolve_secret(section, "token", self._env))
            password = Secret.of(resolve_secret(section, "password", self._env))
        except SecretError as problem:
            raise errors.AuthenticationRefused(f"{section.name}: {problem}") from problem
        if token is None and password is None and found is not None:
            try:
                token = found.token_source() if found.token_source is not None else None
                password = found.password() if token is None and found.password is not None else None
            except DiscoveryError as problem:
                raise errors.AuthenticationRefused(f"{section.name}: {problem}") from problem
        if token is None and password is None and found is None:
            token = Secret.of(self._env.get("OPENCLAW_GATEWAY_TOKEN"))
        device_token = self._tokens.get(url, self._device.device_id, "operator", (READ,))
        for secret in (token, password, device_token):
            if secret is not None:
                self._on_secret(secret.reveal())
        return Credentials(token, password if token is None else None, device_token if token is None else None)

    def _state_dir(self, url: str, found: DiscoveredGateway | None) -> str | None:
        section = self._section
        if section.state_dir == "none":
            return None
        if section.state_dir is not None:
            return str(section.state_dir)
        host = url.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]")
        if found is None or found.state_dir is None or not is_loopback(host):
            return None
        return str(found.state_dir)


def _same_place(one: str, other: str) -> bool:
    """The same port of this machine, whatever name loopback was given."""
    return _port(one) == _port(other) and all(is_loopback(_host(url)) for url in (one, other))


def _host(url: str) -> str:
    rest = url.split("://", 1)[-1].split("/", 1)[0]
    return rest[1:].split("]", 1)[0] if rest.startswith("[") else rest.rsplit(":", 1)[0]


def _port(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].rpartition(":")[2]
