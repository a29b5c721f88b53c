"""A real Chromium, driven over its DevTools protocol: open a page, look at it, hear what it logs and what it asks for."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.e2e.harness.conditions import monotonic

from .failures import InstallError
from .install import chromium

PATIENCE = 20.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class PageFailed(AssertionError):
    """The page did not do what was waited for; the text says what it showed."""


class Browser:
    """One Chromium with a fresh profile. A context manager; ``tab`` opens pages."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="ocw-chromium-"))
        command = [str(chromium()), *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._log = (self._profile / "stderr.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)
        try:
            self._port = self._debugging_port()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._log.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    @contextlib.contextmanager
    def tab(self, *, width: int = 1200, height: int = 900, dark: bool = False) -> Iterator[Tab]:
        """A blank tab of this size; a narrow one is a phone."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found = json.load(answer)
        with connect(found["webSocketDebuggerUrl"], max_size=None, proxy=None, open_timeout=PATIENCE) as wire:
            tab = Tab(wire)
            tab.call("Page.enable")
            tab.call("Runtime.enable")
            tab.call("Log.enable")
            tab.call("Network.enable")
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            tab.call("Emulation.setDeviceMetricsOverride", **size)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            tab.call("Emulation.setEmulatedMedia", features=[scheme])
            yield tab
            tab.call("Page.close")

    def _debugging_port(self) -> int:
        began, file = monotonic(), self._profile / "DevToolsActivePort"
        while monotonic() - began < PATIENCE and self._process.poll() is None:
            lines = file.read_text().split() if file.exists() else []
            if len(lines) > 1:
                return int(lines[0])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        said = (self._profile / "stderr.log").read_text(errors="replace")[-1000:]
        raise InstallError(f"Chromium did not start: {said}")


class Tab:
    """One page. ``errors`` and ``requests`` hold what it logged and asked for so far."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire
        self._ids = itertools.count(1)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._has_loaded = False

    def call(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        self._wire.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = self._read(PATIENCE)
            if message.get("id") == number:
                if "error" in message:
                    raise PageFailed(f"{method}: {message['error']}")
                return message["result"]

    def open(self, url: str) -> None:
        self._has_loaded = False
        self.call("Page.navigate", url=url)
        began = monotonic()
        while not self._has_loaded and monotonic() - began < PATIENCE:
            self._read(PATIENCE)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise PageFailed(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def wait_for(self, script: str, patience: float = PATIENCE) -> None:
        """Until the expression is true."""
        began = monotonic()
        while monotonic() - began < patience:
            if self.run(f"Boolean({script})"):
                return
            self.run("new Promise((done) => setTimeout(done, 50))")
        raise PageFailed(f"waited {patience:g} s for {script}; the page shows:\n{self.text()}")

    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, modifiers=modifiers
            )

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _read(self, patience: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._wire.recv(timeout=patience))
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._has_loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return message
