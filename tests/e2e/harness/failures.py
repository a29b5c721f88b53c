"""What the harness says when a world cannot be brought into the wanted state."""

from __future__ import annotations


class HarnessError(Exception):
    """The harness itself failed; this says nothing about the watchdog. The text names what was waited for."""


class Hopeless(HarnessError):
    """What was waited for cannot come any more: no use in asking again."""


class InstallError(HarnessError):
    """Something the tests need cannot be installed here; the text says what to do about it."""


class Refused(HarnessError):
    """The gateway answered a call with an error: `code`, `message` and `details` are the gateway's own words."""

    def __init__(self, method: str, error: dict[str, object]) -> None:
        self.method = method
        self.code = str(error.get("code", ""))
        self.message = str(error.get("message", ""))
        self.details = error.get("details")
        self.retryable = error.get("retryable")
        super().__init__(f"{method} refused: {self.code} {self.message}")
