"""systemd and launchd, as far as ``adapters.service_units.control`` speaks with them: they read files and remember what
was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.adapters.service_units.control import Answer
from watchdog.adapters.service_units.files import UNIT


@dataclass
class FakeSystemd:
    """``fails``: verb -> what it says instead of doing it."""

    folder: Path
    is_there: bool = True
    active: bool = False
    result: str = "success"
    seen_text: str | None = None
    running_text: str | None = None
    last_words: str = ""
    asked: list[str] = field(default_factory=list)
    fails: dict[str, str] = field(default_factory=dict)

    @property
    def link(self) -> Path:
        return self.folder / "default.target.wants" / UNIT

    def __call__(self, argv: Sequence[str]) -> Answer:
        words = [word for word in argv[1:] if word != "--user"]
        verb = words[0]
        self.asked.append(verb)
        if not self.is_there:
            return Answer(1, err="Failed to connect to bus: No medium found")
        if verb in self.fails:
            return Answer(1, err=self.fails[verb])
        return getattr(self, f"_{verb.replace('-', '_')}")(words)  # type: ignore[no-any-return]

    @property
    def _unit(self) -> Path:
        return self.folder / UNIT

    def _show(self, words: Sequence[str]) -> Answer:
        if "--property=UnitPath" in words:
            return Answer(0, f"/etc/systemd/user {self.folder} /usr/lib/systemd/user\n")
        enabled = "enabled" if self.link.is_symlink() else "disabled"
        state = "ActiveState=active\nSubState=running" if self.active else "ActiveState=inactive\nSubState=dead"
        more = (
            "MainPID=42\nStatusText=1/1 gateways up\nNRestarts=2"
            if self.active
            else f"MainPID=0\nStatusText={self.last_words}"
        )
        return Answer(0, f"{state}\nUnitFileState={enabled}\n{more}\nResult={self.result}\n")

    def _daemon_reload(self, _words: Sequence[str]) -> Answer:
        self.seen_text = self._unit.read_text() if self._unit.exists() else None
        return Answer(0)

    def _is_enabled(self, _words: Sequence[str]) -> Answer:
        return Answer(0, "enabled\n") if self.link.is_symlink() else Answer(1, "disabled\n")

    def _is_active(self, _words: Sequence[str]) -> Answer:
        return Answer(0, "active\n") if self.active else Answer(3, "inactive\n")

    def _enable(self, _words: Sequence[str]) -> Answer:
        self.link.parent.mkdir(exist_ok=True)
        self.link.symlink_to(self._unit)
        return Answer(0)

    def _disable(self, _words: Sequence[str]) -> Answer:
        self.link.unlink(missing_ok=True)
        self.active = False
        return Answer(0)

    def _restart(self, _words: Sequence[str]) -> Answer:
        assert self.seen_text is not None, "restart before daemon-reload"
        self.active, self.running_text = True, self.seen_text
        return Answer(0)

    def _reset_failed(self, _words: Sequence[str]) -> Answer:
        return Answer(0)


@dataclass
class FakeLaunchd:
    """Like launchd, it refuses to bootstrap a label again right after a bootout (``busy`` times)."""

    has_desktop: bool = True
    loaded: str | None = None
    is_running: bool = False
    busy: int = 0
    asked: list[list[str]] = field(default_factory=list)

    def __call__(self, argv: Sequence[str]) -> Answer:
        verb, *words = argv[1:]
        self.asked.append([verb, *words])
        match verb:
            case "print" if words[0].count("/") == 1:
                return (
                    Answer(0) if self.has_desktop or not words[0].startswith("gui/") else Answer(125, err="no domain")
                )
            case "print":
                state = "running" if self.is_running else "not running"
                pid = "\tpid = 77\n" if self.is_running else ""
                return (
                    Answer(113) if self.loaded is None else Answer(0, f"x = {{\n\tstate = {state}\n{pid}\truns = 3\n}}")
                )
            case "bootout":
                was, self.loaded, self.is_running = self.loaded, None, False
                return Answer(0 if was is not None else 3)
            case "bootstrap":
                if self.busy:
                    self.busy -= 1
                    return Answer(5, err="Bootstrap failed: 5: Input/output error")
                self.loaded, self.is_running = Path(words[1]).read_text(), True
                return Answer(0)
            case "kickstart":
                self.is_running = True
        return Answer(0)
