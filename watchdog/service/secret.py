"""``Secret``: a token or password that does not show itself.

A secret is masked in ``repr``, ``str`` and format strings, refuses to be pickled, and has one way out: ``reveal()``,
called where the value goes on the wire or into a file of 0600 and nowhere else.
"""

from __future__ import annotations

import hmac
from typing import Any, NoReturn, final

MASK = "***"
"""What is shown in place of a secret."""


@final
class Secret:
    """One secret text, never empty. Equal secrets compare equal; the comparison takes constant time."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret is never empty; use None for no secret")
        self.__value = value

    @classmethod
    def of(cls, value: str | None) -> Secret | None:
        """``value`` trimmed, as OpenClaw trims credentials (3.24 and later); None when nothing is left."""
        trimmed = (value or "").strip()
        return cls(trimmed) if trimmed else None

    def reveal(self) -> str:
        """The secret itself."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, _format_spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.__value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
