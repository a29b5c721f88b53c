"""A list that somebody else writes: it lets go of nobody by a fault, displaces nobody, and decides on no secret."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, swap, value

from .kinds import Guard

SAID = ("tests/unit/config/test_targets.py",)
FOLLOWED = ("tests/unit/discovery/test_target_lists.py",)

GUARDS: tuple[Guard, ...] = (
    Guard(
        "lists: no secret for every host that an inventory names",
        "rule 19",
        NEVER,
        tests=("tests/unit/config/test_refusals.py",),
    ),
    Guard("lists: the address decides on the token", "rule 19", value("wanted.token_dir / target.name"), tests=SAID),
    Guard("lists: http names no file of this machine", "rule 19", value("file"), tests=SAID),
    Guard(
        "lists: a list is not given the token of the environment",
        "rule 19",
        value("token is None and password is None and found is None"),
        tests=("tests/unit/daemon/test_endpoints.py",),
    ),
    Guard("lists: an inventory elsewhere names none of this machine", "rule 19", NEVER, tests=SAID),
    Guard("lists: a file of somebody else's names nothing", "rule 19", DROP, tests=FOLLOWED),
    Guard("lists: nobody changes a list on its way", "rule 19", NEVER, tests=FOLLOWED),
    Guard("lists: a redirect is not followed", "rule 19", swap("False", "True"), tests=FOLLOWED),
    Guard("lists: an error is no list", "rule 19", NEVER, tests=FOLLOWED),
    Guard("lists: the size of an answer", "rule 19", NEVER, tests=FOLLOWED),
    Guard("lists: the length of a list", "rule 19", NEVER, tests=SAID),
    Guard("lists: an error lets go of nobody", "rule 19", value("ZeroDivisionError"), tests=FOLLOWED),
    Guard("lists: a folder that cannot be read keeps its lists", "rule 19", value("ZeroDivisionError"), tests=FOLLOWED),
    Guard("lists: an empty list has to say so twice", "rule 19", NEVER, tests=FOLLOWED),
    Guard("lists: what cannot be read lets go of nobody", "rule 19", ALWAYS, tests=FOLLOWED),
    Guard("lists: a name belongs to who has it", "rule 19", NEVER, tests=FOLLOWED),
    Guard("lists: an address belongs to who has it", "rule 19", NEVER, tests=FOLLOWED),
    Guard("lists: what a list names comes last", "rule 19", value("(*listed, *own)"), tests=FOLLOWED),
)
