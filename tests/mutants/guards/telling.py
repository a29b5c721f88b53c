"""The operator is told: what a target would not take in one piece, too, and nothing that is secret."""

from __future__ import annotations

from tests.mutants.mutations import DROP, NEVER, value

from .kinds import GATEWAY, Guard

SIGN_IN = ("tests/unit/daemon/test_first_sign_in.py",)
DELIVERY = ("tests/unit/notify/test_delivery.py",)

GUARDS: tuple[Guard, ...] = (
    Guard(
        "secret: what a gateway says is masked before it is cut",
        "rule 19",
        value("text[:10 * _CLIP]"),
        tests=(GATEWAY + "wire/test_refusals.py", *SIGN_IN),
    ),
    Guard("secret: a gateway's words are read with what is secret here", "rule 19", DROP, tests=SIGN_IN),
    Guard("digest: one that is refused is taken apart", "rule 8", NEVER, tests=DELIVERY),
    Guard("digest: what was one is no storm", "rule 8", NEVER, tests=DELIVERY),
)
