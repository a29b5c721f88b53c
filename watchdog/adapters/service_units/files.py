"""What a service manager reads: the systemd units and the launchd job, written from one description of the service.

The one source: ``systemd/*.service`` and ``launchd/*.plist`` of the repository are these texts for an ordinary
installation (``python -m watchdog.adapters.service_units.files`` writes them), and a test holds them equal. Pure text;
who writes it to disk and tells the manager is ``control``.
"""

from __future__ import annotations

import plistlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from watchdog.service.descriptors import ENOUGH, MACOS_MOST
from watchdog.service.exits import Exit

UNIT = "openclaw-watchdog.service"
LABEL = "ai.openclaw.watchdog"
SYSTEM_STATE = Path("/var/lib/openclaw-watchdog")
"""The system unit's StateDirectory."""

RESTART_AFTER = 15
"""Seconds before it is started again. It is tried for ever: a watchdog that gave up helps nobody."""
STOP_WITHIN = 90
"""Seconds for an orderly stop: 60 for the pass that is going, 3 for the messages owed, and some air."""


@dataclass(frozen=True, slots=True)
class Service:
    """One installation of the daemon."""

    command: Sequence[str]
    """Absolute program and its arguments."""
    poll_every: timedelta = timedelta(seconds=30)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Where OpenClaw's files are, when this shell says so. Never a secret: the files are readable by everyone."""
    account: str | None = None
    """System services: who runs OpenClaw, since only that account may read its state folder. None: root."""
    writes_to: Path | None = None
    """System services: the configured ``state_dir``, when it is not the unit's own."""
    home: Path = Path("/")
    """launchd: the working folder, and where the logs go unless ``logs`` is given."""
    logs: Path | None = None

    @property
    def watchdog_after(self) -> timedelta:
        """A pass is over in well under two minutes, whatever the gateway does; three silent rounds mean we are hung."""
        return max(timedelta(minutes=3), 3 * self.poll_every + timedelta(minutes=2))


_UNIT = """\
[Unit]
Description=Watchdog for OpenClaw sessions
# Order only. The gateway is neither needed nor started: telling that it is away is part of the job.
After={after}
# Never give up starting it again.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
# Reads the configuration again; a broken one is refused and the old one stays in force.
ExecReload=/bin/kill -HUP $MAINPID
# The daemon reports after every completed pass (poll_every, and what a pass may take); silence means that it hangs.
WatchdogSec={watchdog}
TimeoutAbortSec=10
# Lets the pass that is going record its deed, and delivers what is owed.
TimeoutStopSec={stop}
Restart=on-failure
RestartSec={restart}
# 78: the configuration is refused, and stays so until somebody edits it. 69 (the state folder is full or in use) may
# pass by itself and is tried again.
RestartPreventExitStatus={refused}
# Secrets that watchdog.yaml refers to as ${{NAME}}: NAME=value lines, readable by {owner} only (0600).
EnvironmentFile=-%E/openclaw-watchdog/environment
ConfigurationDirectory=openclaw-watchdog
{place}
{environment}UMask=0077
# Two connections are open to each gateway; the page's callers, files and messages come on top.
LimitNOFILE={descriptors}
# Its memory holds tokens: no core dumps.
LimitCORE=0

{hardening}
[Install]
WantedBy={wanted_by}
"""

_SECCOMP = """\
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
"""

_USER_PLACE = """\
# No StateDirectory: for user units systemd before 254 puts it under ~/.config, where `status`, `pause` and `history`
# would not look. The daemon makes ~/.local/state/openclaw-watchdog itself, 0700."""

_USER_HARDENING = f"""\
# Everything that needs no namespace of its own: in one, a user's service may no longer look at the gateway's process
# (same user, other namespace), and that look is evidence.
{_SECCOMP}"""

_SYSTEM_PLACE = """\
# The ledger and the device key. Put `state_dir: {state}` into watchdog.yaml, so that `status`,
# `pause` and `history`, run by hand as this account, find the same ledger.
StateDirectory=openclaw-watchdog
StateDirectoryMode=0700
{account}"""

_SYSTEM_HARDENING = f"""\
# How the gateway's own files stay readable: they are 0600 in its owner's home, so the daemon runs as that account, and
# all of the file system, homes included, is read-only to it (ProtectSystem, ProtectHome) but its own state folder.
# /tmp stays the real one, read-only as well: gateways before 2026.9 keep their lock in /tmp/openclaw-<uid>, which
# PrivateTmp would hide. No ProcSubset=pid: when a process was born is reckoned from /proc/stat. No PrivateUsers: it
# would hide which ports the gateway's process holds. No RemoveIPC: it would take away the shared memory of the gateway,
# which is the same account. The network stays open: gateways and messages may be anywhere.
# `gateway_restart`, if configured, runs in here as well: a command that needs more (sudo, polkit) belongs in the user
# unit.
ProtectSystem=strict
ProtectHome=read-only
{{writes_to}}PrivateDevices=yes
DevicePolicy=closed
PrivateMounts=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
AmbientCapabilities=
CapabilityBoundingSet=
{_SECCOMP}"""


def user_unit(service: Service) -> str:
    """For ``systemctl --user``: ``~/.config/systemd/user/openclaw-watchdog.service``."""
    return _unit(service, "you", "openclaw-gateway.service", _USER_PLACE, _USER_HARDENING, "default.target")


def system_unit(service: Service) -> str:
    """For ``systemctl``: ``/etc/systemd/system/openclaw-watchdog.service``."""
    account = f"User={_escaped(service.account)}" if service.account else "# No User=: OpenClaw is run by root here."
    extra = f"ReadWritePaths={_quoted(str(service.writes_to))}\n" if service.writes_to else ""
    after = "network-online.target openclaw-gateway.service\nWants=network-online.target"
    place = _SYSTEM_PLACE.format(state=SYSTEM_STATE, account=account)
    hardening = _SYSTEM_HARDENING.format(writes_to=extra)
    return _unit(service, "root", after, place, hardening, "multi-user.target")


def _unit(service: Service, owner: str, after: str, place: str, hardening: str, wanted_by: str) -> str:
    program, *arguments = service.command
    assignments = (f"{name}={value}" for name, value in sorted(service.environment.items()))
    head = (
        f"# Written by `openclaw-watchdog service install{' --system' if owner == 'root' else ''}`. Your own changes: "
    )
    return head + (
        f"`systemctl {'' if owner == 'root' else '--user '}edit {UNIT.removesuffix('.service')}`.\n"
        + _UNIT.format(
            after=after,
            command=" ".join([_quoted(program), *(_quoted(one).replace("$", "$$") for one in arguments)]),
            watchdog=round(service.watchdog_after.total_seconds()),
            stop=STOP_WITHIN,
            restart=RESTART_AFTER,
            refused=Exit.CONFIG_REFUSED.value,
            owner=owner,
            place=place,
            descriptors=ENOUGH,
            environment="".join(f"Environment={_quoted(one)}\n" for one in assignments),
            hardening=hardening,
            wanted_by=wanted_by,
        )
    )


def _escaped(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"a service file cannot hold {text!r}")
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """One word as systemd reads it back."""
    word = _escaped(text)
    if word and not set(word) & set(" \"'\\;"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---------------------------------------------------------------- launchd

_PLIST_COMMENT = """\
<!--
  Written by `openclaw-watchdog service install`. launchd expands neither ~ nor $HOME: every path is absolute.
  KeepAlive.SuccessfulExit=false: started again after a crash, left alone after an orderly stop.
  Secrets do not belong in here: use token_file in watchdog.yaml.
-->
"""


def launchd_job(service: Service) -> str:
    """For ``launchctl bootstrap``: ``~/Library/LaunchAgents/ai.openclaw.watchdog.plist``."""
    logs = logs_of(service)
    job: dict[str, Any] = {
        "Label": LABEL,
        "ProgramArguments": list(service.command),
        "WorkingDirectory": str(service.home),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": RESTART_AFTER,
        "ExitTimeOut": STOP_WITHIN,
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": MACOS_MOST},
        "HardResourceLimits": {"Core": 0},
        "StandardOutPath": str(logs / "watchdog.out.log"),
        "StandardErrorPath": str(logs / "watchdog.log"),
    }
    if service.account is not None:
        job["UserName"] = service.account
    if service.environment:
        job["EnvironmentVariables"] = dict(sorted(service.environment.items()))
    text = plistlib.dumps(job, sort_keys=False).decode()
    head, mark, rest = text.partition('<plist version="1.0">\n')
    return head + _PLIST_COMMENT + mark + rest


def logs_of(service: Service) -> Path:
    return service.logs if service.logs is not None else service.home / "Library/Logs/openclaw-watchdog"


# ---------------------------------------------------------------- the files of the repository

REPOSITORY = Path(__file__).parents[3]


def examples() -> dict[str, str]:
    """Path in the repository -> text, for an installation by pipx, and one by a package for the system unit."""
    mac = Path("/Users/you")
    return {
        f"systemd/{UNIT}": user_unit(Service(("%h/.local/bin/openclaw-watchdog", "run"))).replace("%%h", "%h"),
        "systemd/openclaw-watchdog-system.service": system_unit(
            Service(
                ("/usr/local/bin/openclaw-watchdog", "run", "--config", "/etc/openclaw-watchdog/watchdog.yaml"),
                account="openclaw",
            )
        ),
        f"launchd/{LABEL}.plist": launchd_job(
            Service(
                (
                    f"{mac}/.local/bin/openclaw-watchdog",
                    "run",
                    "--config",
                    f"{mac}/Library/Application Support/openclaw-watchdog/watchdog.yaml",
                ),
                home=mac,
            )
        ),
    }


def main() -> int:
    for name, text in examples().items():
        (REPOSITORY / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
