"""The whole configuration file as frozen models. ``Config()`` is what the watchdog does without a file.

Values are checked one by one here; what several values must agree on is checked in ``watchdog.config.checks``.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, GetJsonSchemaHandler, Tag
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from watchdog.config.fields import (
    Command,
    Count,
    DiscoverWord,
    Events,
    Flag,
    Label,
    LogFormatWord,
    LogLevelWord,
    NotifyEvent,
    Span,
    Text,
    refusal,
)
from watchdog.config.references import (
    DatabaseUrl,
    FileText,
    PathOrNone,
    PathText,
    PingUrl,
    PlaceText,
    Secret,
    ServiceUrl,
)
from watchdog.config.sections import (
    WHEN_EMPTY,
    PolicySection,
    RecoverySection,
    Section,
    TextsSection,
    ThresholdsSection,
)
from watchdog.core.leases import LeaseTiming
from watchdog.core.loopback import is_loopback
from watchdog.service.events import LogFormat, Severity


def _websocket_url(text: str) -> str:
    example = "e.g. ws://127.0.0.1:18789"
    try:
        url = urlsplit(text)
        host = url.hostname
    except ValueError:
        raise refusal("this is not a URL", example) from None
    number = re.search(r":(\d+)$", url.netloc)
    _refuse_port(number[1] if number else None, example)
    try:
        _ = url.port
    except ValueError:
        raise refusal("this is not a URL", example) from None
    if url.scheme in ("http", "https"):
        raise refusal(f"the gateway speaks websocket: {url.scheme}:// is not {_WS[url.scheme]}://", example)
    if url.scheme not in ("ws", "wss") or not host or re.search(r"\s", text):
        raise refusal("expected a URL that starts with ws:// or wss://", example)
    if url.username is not None or url.password is not None:
        raise refusal("a URL must not carry a user name or password", "use token, or password, of this gateway")
    if url.query or url.fragment:
        raise refusal("a URL must not carry anything after '?' or '#'", "a token belongs under token")
    return text


def _refuse_port(number: str | None, example: str, lowest: int = 1) -> None:
    if number is not None and not lowest <= int(number[:6]) <= 65535:
        raise refusal(f"port {number[:6]} is out of range: {lowest} to 65535", example)


_WS = {"http": "ws", "https": "wss"}
WebsocketUrl = Annotated[PlaceText, AfterValidator(_websocket_url)]


def _listen(value: str) -> str:
    parts = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,6})", value)
    example = "e.g. 127.0.0.1:18795 or [::1]:18795"
    if not parts:
        raise refusal("expected host:port", example)
    _refuse_port(parts[2], example, lowest=0)  # 0: any free one
    return value


Listen = Annotated[Text, AfterValidator(_listen)]


def _host_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", value):
        raise refusal(
            "expected the name of a host, and nothing else", "e.g. watchdog.example.org: no port, no https://, no *"
        )
    return value.lower()


HostNames = tuple[Annotated[Text, AfterValidator(_host_name)], ...]


def _nobody(value: object) -> object:
    return [] if value is None else value


def _discovered(value: object) -> object:
    return [{}] if value is None else value


def _default_name(data: dict[str, Any]) -> str:
    url = data.get("url")
    host = urlsplit(url).hostname if url else None
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", host or "").strip("-._")[:64]
    return "local" if not label or is_loopback(host) else label


def _fingerprint(value: str) -> str:
    digits = re.sub(r"^sha-?256[:=]", "", value.strip().lower()).replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise refusal(
            "expected the SHA-256 fingerprint of a certificate, 64 hex digits",
            "openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE shows it",
        )
    return digits


class TlsSection(Section):
    """By what a gateway's certificate is checked, where this machine does not trust it by itself."""

    ca_file: PathText | None = Field(default=None, examples=["/etc/openclaw-watchdog/gateway-ca.pem"])
    """PEM file with the authority that signed it, or with the self-signed certificate. Default null: what this machine trusts."""

    fingerprint: Annotated[Text, AfterValidator(_fingerprint)] | None = Field(
        default=None, examples=["4f:" * 31 + "0a"]
    )
    """SHA-256 of the certificate itself, with or without colons. Without ca_file it alone decides. Default null: not asked."""


class TargetList(Section):
    """Gateways out of a list that somebody else writes, in the shape of Prometheus' targets; either file or http."""

    file: PathText | None = Field(default=None, examples=["/etc/openclaw-watchdog/gateways.d/*.json"])
    """Files of this machine; the last part may hold * and ?. They must be ours or root's. Default null: none."""

    http: PingUrl | None = Field(default=None, examples=["https://inventory.example/targets"])
    """Or an address that answers with such a list; https://, or on this machine. Default null: none."""

    every: Span = timedelta(seconds=60)
    """How often it is read; not more often than once a minute, when this machine is looked at. Default 60s."""

    token_dir: PathText | None = Field(default=None, examples=["/run/secrets/gateways"])
    """For http: a folder with one file for each token, called like the address that it is for (gateway.example:443). What such
    a list says never decides which secret goes where. Default null: its gateways are shown no token."""


WORD, LIST = "a word", "a list"
"""Which of two shapes a value has: parts of pydantic's path to it, not of the file's."""


def _shape(value: object) -> str:
    return LIST if isinstance(value, dict | TargetList) else WORD


class _AnyOf:
    """Either shape, in the schema's one word for that."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": handler(schema)["oneOf"]}


class GatewaySection(Section):
    """One OpenClaw gateway, by address or discovered; or several: those of this machine, or those of a list."""

    url: WebsocketUrl | None = Field(default=None, examples=["ws://127.0.0.1:18789"])
    """Its address, ws:// or wss://. Default null: discovered."""

    discover: (
        Annotated[Annotated[DiscoverWord, Tag(WORD)] | Annotated[TargetList, Tag(LIST)], Discriminator(_shape), _AnyOf]
        | None
    ) = Field(default=None, examples=["local"])
    """Instead of url. local: every gateway this user runs on this machine. First the one the environment means, as without
    this line; then every other OpenClaw profile (~/.openclaw-*), live lock file and fleet cell, each under its own name,
    from when it is first seen running until its configuration is gone; looked for every minute. token, password and state_dir here are
    the first one's; the others' are found. {file: GLOB} or {http: URL, every: 60s, token_dir: FOLDER}: the gateways of a list, in
    the shape of Prometheus' targets; token, password, tls and insecure here are for each of them (token and password: of
    files only). Default null: without url, the one gateway the environment means
    (OPENCLAW_CONFIG_PATH, OPENCLAW_STATE_DIR, ~/.openclaw/openclaw.json, else the only live lock file)."""

    name: Label = Field(default_factory=_default_name)
    """Its name in logs, metrics, messages and policies. Default: local, or the host of the url."""

    token: Secret | None = Field(default=None, examples=["${OPENCLAW_GATEWAY_TOKEN}"])
    """Its token; ${NAME} takes it from the environment. Default null: discovered."""

    token_file: FileText | None = Field(default=None, examples=["/run/secrets/openclaw-token"])
    """Or a file that holds the token and nothing else. Default null: none."""

    password: Secret | None = Field(default=None, examples=["${OPENCLAW_GATEWAY_PASSWORD}"])
    """Or its password, when the gateway asks for one. Default null: discovered."""

    password_file: FileText | None = Field(default=None, examples=["/run/secrets/openclaw-password"])
    """Or a file that holds the password and nothing else. Default null: none."""

    state_dir: PathOrNone | None = Field(default=None, examples=["~/.openclaw"])
    """The gateway's state folder, when it runs on this machine: lock files and transcripts are evidence too.
    none: never look at files. Default null: discovered."""

    insecure: Flag = False
    """Allow ws:// (nothing encrypted, the token readable on the way) to another machine. Default false."""

    tls: TlsSection | None = Field(
        default=None, examples=[{"ca_file": "/etc/openclaw-watchdog/gateway-ca.pem", "fingerprint": None}]
    )
    """For wss:// with a certificate that this machine does not trust: ca_file, or the certificate's fingerprint (SHA-256).
    Default null: what this machine trusts."""

    @property
    def target_list(self) -> TargetList | None:
        """The list whose gateways the section stands for. ``None``: it stands for none."""
        return self.discover if isinstance(self.discover, TargetList) else None

    @property
    def address(self) -> SplitResult | None:
        """``url`` in parts. ``None``: the gateway is discovered."""
        return urlsplit(self.url) if self.url else None


class NotifyTarget(Section):
    """Where messages go: an apprise URL, and what it is told."""

    url: ServiceUrl
    """An apprise URL, e.g. ntfy://ntfy.sh/my-topic; ${NAME} takes it from the environment."""

    name: Label | None = Field(default=None, examples=["phone"])
    """Its name in logs, on the page and in notify test. Given or changed later, it is another target, which gets the last
    day's messages. Default null: what it is and its place, e.g. ntfy-1."""

    on: Events = tuple(NotifyEvent)
    """Events it is told about. Default [stuck, recovered, ineffective, quarantined, gateway_down, long_running]."""

    remind_every: Span | None = timedelta(hours=24)
    """How often it is told again of an incident (stuck) or quarantine (quarantined) that is still open, until somebody
    acknowledges it (ack). At least 10m. null: never. Default 24h."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(schema))]}


def _just_a_url(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class StatusPage(Section):
    """A small web page, /metrics, /livez and /readyz, without a password."""

    listen: Listen = "127.0.0.1:18795"
    """host:port; port 0 takes any free one. Default 127.0.0.1:18795."""

    hosts: HostNames = Field(default=(), examples=[["watchdog.example.org"]])
    """Further names by which it may be asked for (the Host header): behind a proxy, in a compose project, in Kubernetes. Any
    other name is turned away, so that no foreign web page reads it. Default []."""

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class LogSection(Section):
    """What is written to stderr, and how."""

    format: LogFormatWord = LogFormat.AUTO
    """auto (console on a terminal, else json), json (one object a line) or console. Default auto."""

    level: LogLevelWord = Severity.INFO
    """debug, info, warning or error. Default info."""


class GatewayRestart(Section):
    """How to restart a gateway that is down; exactly one of command, systemd_unit and launchd_label."""

    gateway: Text | None = Field(default=None, examples=["local"])
    """Name of the gateway this is for. Default null: the only one."""

    command: Command | None = Field(default=None, examples=["openclaw gateway restart"])
    """A command, as text or as a list of words; runs without a shell. Default null: none."""

    systemd_unit: Text | None = Field(default=None, examples=["openclaw-gateway.service"])
    """Or a systemd unit, e.g. openclaw-gateway.service. Default null: none."""

    user: Flag = True
    """The systemd unit is the user's own (systemctl --user); false: the system's. Default true."""

    launchd_label: Text | None = Field(default=None, examples=["ai.openclaw.gateway"])
    """Or a launchd label, e.g. ai.openclaw.gateway. Default null: none."""

    after_failures: Count = 3
    """Polls in a row that found it down. Default 3."""

    min_down: Span = timedelta(minutes=5)
    """And down for at least this long; a gateway may need 4 minutes to start. At least 2m. Default 5m."""

    max_per_6h: Count = 2
    """Restarts in any 6 hours; after that only a person is told. Default 2."""


class ReplicasSection(Section):
    """Several daemons that share the gateways through one ledger in PostgreSQL."""

    name: Label | None = Field(default=None, examples=["rack-2"])
    """What people call this one. Default null: the machine's name."""

    term: Span = LeaseTiming().term
    """How long a replica that is gone keeps its gateways from the others; the same for all. It renews its leases every third of
    it, claims a deed with a third left, and sends within a sixth. At least 15s. Default 30s."""


_POLICIES = [
    {"name": "background", "match": {"kind": ["cron", "subagent", "acp"]}, "recovery": {"ladder": ["notify"]}},
    {"name": "telegram", "match": {"channel": "telegram", "kind": "direct"}, "thresholds": {"stuck_after": "10m"}},
]
_TARGETS = [
    "ntfy://ntfy.sh/my-topic",
    {
        "name": "mail",
        "url": "${WATCHDOG_MAIL_URL}",
        "on": ["stuck", "quarantined", "gateway_down"],
        "remind_every": "24h",
    },
]


class Config(Section):
    """Configuration of openclaw-watchdog."""

    model_config = ConfigDict(title="openclaw-watchdog configuration")

    gateways: Annotated[tuple[GatewaySection, ...], BeforeValidator(_discovered)] = (GatewaySection(),)
    """The gateways to watch. Default: the one the environment means, discovered; [{discover: local}]: every one of this
    machine."""

    poll_every: Span = timedelta(seconds=30)
    """How often each gateway is asked for its sessions. At least 1s. Default 30s."""

    thresholds: Annotated[ThresholdsSection, WHEN_EMPTY] = ThresholdsSection()
    """When a session counts as what."""

    recovery: Annotated[RecoverySection, WHEN_EMPTY] = RecoverySection()
    """What may be done about a stuck session."""

    texts: Annotated[TextsSection, WHEN_EMPTY] = TextsSection()
    """What is put into conversations."""

    policies: Annotated[tuple[PolicySection, ...], BeforeValidator(_nobody)] = Field(default=(), examples=[_POLICIES])
    """Other thresholds or another ladder for some sessions: the first policy that matches decides, and overrides any of
    thresholds and recovery (but fleet_breaker). Built in, after yours: cron, subagent, acp and archived sessions are reported,
    not touched."""

    notify: Annotated[tuple[Annotated[NotifyTarget, BeforeValidator(_just_a_url)], ...], BeforeValidator(_nobody)] = (
        Field(default=(), examples=[_TARGETS])
    )
    """Who is told: apprise URLs, or {name, url, on: [events], remind_every: 24h} to be told less. What is still open is said again
    every day until somebody acknowledges it (ack). Default []: nobody."""

    status_page: StatusPage | None = StatusPage()
    """A small web page with /metrics, /livez and /readyz. hosts: further names it may be asked by (behind a proxy, in a
    container project). null: off. Default {listen: 127.0.0.1:18795, hosts: []}."""

    heartbeat_url: PingUrl | None = Field(default=None, examples=["https://hc-ping.com/your-id"])
    """Pinged (HTTP GET) after every completed cycle, whether or not the gateway answered, so that an outside monitor notices
    when the watchdog itself is gone. ${NAME} takes the address from the environment. Default null: off."""

    state_dir: PathText | None = Field(default=None, examples=["~/.local/state/openclaw-watchdog"])
    """Folder of the ledger and the device key. Default null: $STATE_DIRECTORY under systemd, else the platform's state
    folder."""

    ledger: DatabaseUrl | None = Field(
        default=None, examples=["postgresql://db.example.org/watchdog?sslmode=verify-full"]
    )
    """Keep the ledger in a PostgreSQL database (14 or later; needs openclaw-watchdog[postgresql]) instead: a URL as its own
    programs take it, the password better in PGPASSFILE. One daemon, or several with replicas. Read at the start. Default null: SQLite in state_dir."""

    replicas: ReplicasSection | None = None
    """Share the gateways with every other daemon that has this section and the same ledger. Needs ledger; each has a state_dir
    of its own, and all have the same gateways. Read at the start. {} takes the defaults. Default null: one daemon owns the ledger."""

    log: Annotated[LogSection, WHEN_EMPTY] = LogSection()
    """What is written to stderr. format: auto (console on a terminal, else json), json (one object a line) or console.
    level: debug, info, warning or error. Default {format: auto, level: info}."""

    gateway_restart: GatewayRestart | None = None
    """Restart a gateway that stays down. It hurts every session and a service manager does it better, so it is off.
    Default null: never; a person is told."""

    full_sweep_every: Span = timedelta(minutes=15)
    """How often every session is read, not only the recently changed ones. At least poll_every. Default 15m."""

    ledger_retention: Span = timedelta(days=90)
    """How long closed incidents are kept, with their attempts and handoff notes. At least every budget's per. Default 90d."""

    recording: Flag = True
    """Keep what every pass saw in recordings/ of state_dir, for replay: who was marked running and why nothing was done, no
    message text, at most 2 x 8 MiB per gateway. Default true."""

    recordings_mib: Count = 1024
    """MiB that all recordings together may take. Each gateway has an equal share of them; what is oldest is dropped first, of
    gateways that are gone before the others. Default 1024."""

    allow_short_thresholds: Flag = False
    """Accept thresholds below their floors (stuck_after 2m, confirm_for 5s, startup_grace 30s), and other spans below theirs
    (poll_every 1s, remind_every 10m). For tests: short thresholds touch sessions that are only slow. Default false."""
