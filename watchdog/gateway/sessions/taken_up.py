"""The turn by which a gateway goes on with what its own restart cut, as it writes it into the conversation.

Measured on 2026.5.18. Behind tool results it is a turn of its own, by nobody. Behind a person's request it takes that request's
place, under their name and with a time after the start:

    [Queued user message that arrived while the previous turn was still active]

    [Mon 2026-11-30 03:53 UTC] Please list the bridges.

    [Mon 2026-11-30 03:55 UTC] [System] Your previous turn was interrupted by a gateway restart ...
"""

from __future__ import annotations

import re

MERGED = "[Queued user message "
"""So begins a turn that the gateway put together out of the request that was cut and what came next: under the name of the person
(2026.4.14, 5.18: "that arrived while the previous turn was still active"; 9.2, 9.6: "from a previous active turn"). A person who
types both, this and a mark at the end, says of their own words that they are ours, and nothing more comes of it."""
RECOVERY = "[System] Your previous turn was interrupted"

_CAPTURED = "Note: The interrupted final reply was captured:"
"""What its recovery may add as a last paragraph (source of 2026.5.18)."""
_STAMP = r"\[[A-Z][a-z]{2} \d{4}-\d{2}-\d{2} \d{2}:\d{2}[^\]\n]{0,40}\] "
_JOINT = re.compile(rf"\n\n(?:{_STAMP})?\Z")
_JOINT_LENGTH = 80
_LEADING_STAMP = re.compile(_STAMP)


def cut_request(text: str) -> str | None:
    """The words of the request that such a turn takes up, without what the gateway wrote around them. None: it is no such turn, as
    where somebody's next words follow: those are theirs."""
    head, _, rest = text.partition("\n")
    if not (head.startswith(MERGED) and head.endswith("]")):
        return None
    words, found, end = rest.rpartition(RECOVERY)
    more = end.partition("\n\n")[2]
    joint = _JOINT.search(words, max(0, len(words) - _JOINT_LENGTH))
    # guard: taken up: words that came after the start are asked after it
    if not found or joint is None or (more and not more.startswith(_CAPTURED)):
        return None
    words = words[: joint.start()].strip()
    stamp = _LEADING_STAMP.match(words)
    return words[stamp.end() :].strip() if stamp is not None else words
