"""Delivers one message through apprise, in a process of its own; started by ``senders``.

apprise's plugins set a time-out for each read, not for the whole, so a server that answers a byte a second keeps them for
as long as it likes, and a thread cannot be ended. A process can. It also takes apprise's 45 MiB with it when it is done.

One JSON object on standard input (``url``, ``title``, ``body``, ``type``; not in the arguments, which everybody may read),
one on standard output (``outcome``, and ``status`` if the service answered one). Runs by its path: imports nothing of ours.
"""

import json
import os
import re
import signal
import sys
from typing import Any

GONE_AFTER = 30
"""Seconds until it ends itself, should its parent have been killed."""

DELIVERED, NOT_UNDERSTOOD, UNREACHABLE, FAILED = "delivered", "not understood", "unreachable", "failed"

_STATUS = re.compile(r"error\s*=\s*(\d{3})\b")


def deliver(order: dict[str, str]) -> dict[str, Any]:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="openclaw-watchdog",
        app_desc="OpenClaw watchdog",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
    )
    target = apprise.Apprise(asset=asset)
    if not target.add(order["url"]):
        return {"outcome": NOT_UNDERSTOOD}
    result = target.notify(
        title=order["title"], body=order["body"], notify_type=order["type"], body_format=apprise.NotifyFormat.TEXT
    )
    return {"outcome": DELIVERED} if result else _why_not(result)


def _why_not(result: object) -> dict[str, Any]:
    """apprise tells why it failed in log lines only, and names hosts in them: the HTTP status is all we take from them.
    Before 2.0 its result is a plain bool without lines."""
    lines = getattr(result, "logs", None)
    said = " ".join(line.message for line in lines()) if lines is not None else ""
    status = _STATUS.search(said)
    if status is not None:
        return {"outcome": FAILED, "status": int(status.group(1))}
    return {"outcome": UNREACHABLE if "connection error" in said.lower() else FAILED}


def main() -> None:
    signal.alarm(GONE_AFTER)
    # What a plugin prints goes nowhere; the answer has a descriptor of its own.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        json.dump(deliver(json.load(sys.stdin)), answers)
        answers.flush()
        os._exit(0)  # a thread that a plugin left behind is not waited for


if __name__ == "__main__":
    main()
