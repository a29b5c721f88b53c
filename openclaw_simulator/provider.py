"""The model provider: which turn a run takes, and what the model got to see.

The same rules as the lab's mock provider: a default turn, and rules by a text that occurs in the turn's words. A rule
can be taken away, so a resumed request may behave differently the second time, as after a real provider outage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from openclaw_simulator.sessions import EntryKind, SimSession, Turn, answers

_TURN_STARTS_AFTER = (EntryKind.ANSWER, EntryKind.RESET)


def visible_words(session: SimSession) -> tuple[tuple[str, ...], int]:
    """The user texts the model sees since the last finished answer (oldest first), and the tool results with them."""
    said: list[str] = []
    tool_results = 0
    for entry in reversed(session.transcript + session.unflushed):
        if entry.kind in _TURN_STARTS_AFTER:
            break
        if entry.kind is EntryKind.USER and not entry.is_forgotten:
            said.append(entry.text)
        elif entry.kind is EntryKind.TOOL_RESULT:
            tool_results += 1
    return tuple(reversed(said)), tool_results


@dataclass(slots=True)
class Provider:
    """Decides what a run does when it starts."""

    usual: Turn = field(default_factory=answers)
    rules: dict[str, Turn] = field(default_factory=dict)
    answered: int = 0

    def turn_for(self, session: SimSession) -> Turn:
        """The first rule whose text the model sees in this turn; else the usual turn."""
        if self.rules:
            said, _ = visible_words(session)
            for match, turn in self.rules.items():
                if any(match in text for text in said):
                    return turn
        return self.usual

    def words(self, request: str, answer: str | None) -> str:
        """What the model answers: the turn's own words, or some that quote the request."""
        self.answered += 1
        return answer if answer is not None else f"reply {self.answered} to: {request[:80]}"
