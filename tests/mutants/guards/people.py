"""Whose request, whose chat, whose rights, whose stop."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, swap, value

from .kinds import CORE, GATEWAY, SERVICE, Guard

BY_HAND = ("tests/unit/cli/test_recover.py",)
REQUESTER = (CORE + "test_requester.py",)
PEOPLE = (SERVICE + "test_people.py",)
TRACKING = (CORE + "test_tracking.py",)
BOTH = (*REQUESTER, *PEOPLE)
TRANSCRIPT = (GATEWAY + "sessions/test_transcript.py",)
ASKED_IN = (GATEWAY + "sessions/test_asked_in.py",)
APPROVE = ("tests/unit/cli/test_approve.py",)
BESIDE = ("tests/unit/cli/test_recover_beside_the_daemon.py",)

GUARDS = (
    Guard("note: a server logs no person's words", "rule 14", NEVER, tests=("tests/unit/ledger/test_notes.py",)),
    Guard("requester: several are nobody", "rule 14", NEVER, tests=BOTH),
    Guard("requester: a turn whose prompt is not shown is nobody's request", "rule 14", NEVER, tests=TRANSCRIPT),
    Guard("requester: who sent a picture has asked, too", "rule 14", value("words"), tests=TRANSCRIPT),
    Guard("requester: who asked first may have been somebody else", "rule 14", NEVER, tests=REQUESTER),
    Guard(
        "resume: nothing that can be gone on with asks",
        "rule 14",
        value("requester.kind is RequesterKind.LOST"),
        tests=REQUESTER,
    ),
    Guard("a command's reply is no answer", "rule 18", NEVER, tests=TRANSCRIPT),
    Guard("what a gateway leaves out is no answer", "rule 18", NEVER, tests=TRANSCRIPT),
    Guard("requester: a client is no person", "rule 14", NEVER, tests=REQUESTER),
    Guard("route: a private chat is its person's", "rule 14", NEVER, tests=REQUESTER),
    Guard("route: the row's address is the last writer's", "rule 14", DROP, tests=BOTH),
    Guard(
        "route: a bare id is a chat for one Telegram bot alone",
        "rule 14",
        value("accounts[0] if accounts else None"),
        tests=REQUESTER,
    ),
    Guard("route: a bot that is not named is one of several", "rule 14", DROP, tests=REQUESTER),
    Guard("asked in: only what begins the text is the gateway's own", "rule 14", NEVER, tests=ASKED_IN),
    Guard("asked in: a chat bears its person's id", "rule 14", ALWAYS, tests=ASKED_IN),
    Guard("asked in: which of several bots is not known", "rule 14", value("not mine"), tests=ASKED_IN),
    Guard("resume: nobody proven, nothing sent", "rule 14", NEVER, tests=BOTH),
    Guard("resume: rules by sender ask", "rule 15", NEVER, tests=BOTH),
    Guard("resume: unknown rights ask", "rule 15", value("None"), tests=REQUESTER),
    Guard("resume: admin for a proven owner alone", "rule 15", value("has_admin"), tests=BOTH),
    Guard("resume: perhaps stopped asks", "rule 16", NEVER, tests=BOTH),
    Guard("resume: what may end its gateway asks", "double recovery", NEVER, cases=("left-behind",), tests=REQUESTER),
    Guard("fence: signed in for what is done", "rule 15", NEVER, tests=PEOPLE),
    Guard("approve: whose the port is was looked up", "rule 15", NEVER, tests=APPROVE),
    Guard("approve: this device's request alone", "rule 15", NEVER, tests=APPROVE),
    Guard("approve: an operator's request alone", "rule 15", NEVER, tests=APPROVE),
    Guard("approve: no more than was asked for", "rule 15", NEVER, tests=APPROVE),
    Guard("ask: once per interruption", "double recovery", NEVER, tests=PEOPLE),
    Guard("free: only on proof that somebody waits", "rule 15", DROP, tests=PEOPLE),
    Guard("stop: kept unless somebody is proven to be shut out", "rule 16", DROP, tests=PEOPLE),
    Guard("stop: let in only where its row is sure to refuse them", "rule 16", value("True"), tests=PEOPLE),
    Guard(
        "knocks: a few within hours are no retries", "rule 16", value("len(self.knocks) >= INSISTENCE"), tests=TRACKING
    ),
    Guard("knocks: what is taken is none", "rule 16", swap("moved", "False"), tests=TRACKING),
    Guard("message: an answer that nobody heard is named", "rule 18", value("False"), tests=PEOPLE),
    Guard(
        "message: who was told that a gateway is away is told that it is back, whoever watches it then",
        "rule 18",
        value("None"),
        tests=(SERVICE + "test_outages.py",),
    ),
    Guard(
        "message: the spare ledger does not know what was told before",
        "rule 18",
        ALWAYS,
        tests=(SERVICE + "test_outages.py",),
    ),
    Guard("message: who only observes says so", "rule 18", NEVER, tests=("tests/unit/notify/test_delivery.py",)),
    Guard("free: once per run", "double recovery", DROP, tests=PEOPLE),
    Guard("stop: the flag that turns is a person's", "rule 16", DROP, tests=PEOPLE),
    Guard("stop: not across a boot", "rule 16", DROP, tests=PEOPLE),
    Guard("stop: a mark of the gateway's own does not touch the row", "rule 16", DROP, tests=PEOPLE),
    Guard(
        "stop: what a gateway that has just started marks is not a person's",
        "rule 16",
        value("was_aborted"),
        tests=TRACKING,
    ),
    Guard("stop: what may have been one stays so across the next start", "rule 16", DROP, tests=TRACKING),
    Guard(
        "stop: what may have been one is asked about", "rule 16", value("row.aborted_last_run is True"), tests=PEOPLE
    ),
    Guard("stop: kept over restarts", "rule 16", DROP, tests=PEOPLE),
    Guard("stop: who is shut out is let in, and not asked about it", "rule 16", NEVER, tests=PEOPLE),
    Guard("spool: what the chat app brings again is not resumed", "double recovery", NEVER, tests=PEOPLE),
    Guard(
        "channel: one that does not run is not spoken through",
        "rule 18",
        NEVER,
        cases=("crash-loop-breaker",),
        tests=(GATEWAY + "recovery/test_channels.py",),
    ),
    Guard("outcome: not delivered is not recovered", "rule 18", NEVER, tests=PEOPLE),
    Guard("free: who is shut out for good is given up, and told", "rule 18", value("fresh is not None"), tests=PEOPLE),
    Guard("outcome: what nobody answered is no answer", "rule 18", NEVER, tests=PEOPLE),
    Guard("outcome: a turn that only waits is no answer", "rule 18", NEVER, tests=PEOPLE),
    Guard("outcome: a late turn that only waits is no answer", "rule 18", NEVER, tests=PEOPLE),
    Guard("verify: a turn that waits for its subagents has answered nobody", "rule 18", NEVER, tests=PEOPLE),
    Guard(
        "verify: a turn that yields makes no progress of its own",
        "rule 18",
        NEVER,
        tests=(CORE + "test_verify.py",),
    ),
    Guard(
        "verify: what another run ended is no proof of a turn that perhaps was never sent",
        "rule 18",
        NEVER,
        tests=(CORE + "test_verify.py",),
    ),
    Guard(
        "verify: a run older than the one that was cut is nobody's recovery",
        "rule 18",
        NEVER,
        tests=(CORE + "test_verify.py",),
    ),
    Guard(
        "verify: another session that has not run yet is nobody's recovery",
        "rule 18",
        NEVER,
        tests=(CORE + "test_verify.py",),
    ),
    Guard("outcome: an older run is nobody's answer", "rule 18", value("Outcome.RECOVERED"), tests=PEOPLE),
    Guard("verify: done is not answered", "rule 18", NEVER, tests=(CORE + "test_verify.py",)),
    Guard("outcome: a turn of somebody else's is no answer", "rule 18", value("False"), tests=PEOPLE),
    Guard(
        "outcome: what the cut run was asked is older, whatever the clocks say",
        "rule 18",
        NEVER,
        tests=(CORE + "test_verify.py",),
    ),
    Guard(
        "outcome: a run that began long after their words was another's",
        "rule 18",
        NEVER,
        tests=(CORE + "test_verify.py",),
    ),
    Guard("outcome: what came to nothing has recovered nobody", "rule 18", value("True"), tests=PEOPLE),
    Guard("outcome: a tool that never answered is no end", "rule 18", NEVER, tests=(SERVICE + "test_endings.py",)),
    Guard("outcome: a turn that ended late is asked after", "rule 18", NEVER, tests=PEOPLE),
    Guard(
        "outcome: what another run ended is not our recovery", "rule 18", NEVER, tests=(SERVICE + "test_stories.py",)
    ),
    Guard(
        "outcome: a turn answered after it was given up is what helped",
        "rule 18",
        NEVER,
        tests=(SERVICE + "test_stories.py",),
    ),
    Guard("ending: a start is no end", "rule 18", NEVER, tests=(SERVICE + "test_stories.py",)),
    Guard("message: whether the person was told is said", "rule 18", NEVER, tests=(SERVICE + "test_stories.py",)),
    Guard("outcome: a turn whose answer was lost is asked after", "rule 18", value("attempt.run_id"), tests=PEOPLE),
    Guard("by hand: what nobody has read is neither gone on with nor thrown away", "rule 14", NEVER, tests=BY_HAND),
    Guard("by hand: what was answered is not asked for again", "rule 18", NEVER, tests=BY_HAND),
    Guard("by hand: who waits does not lose their words", "rule 14", NEVER, tests=BY_HAND),
    Guard("by hand: a verb settles its own deed alone", "rule 18", NEVER, tests=BESIDE),
    Guard("by hand: a verb closes its own incident alone", "rule 18", NEVER, tests=BESIDE),
    Guard("by hand: its sender alone hears what became of the answer", "rule 18", NEVER, tests=BESIDE),
    Guard("by hand: whose it is stands there before the claim", "rule 18", NEVER, tests=BESIDE),
    Guard("by hand: what its sender left is settled", "rule 18", DROP, tests=BESIDE),
    Guard("mark: no person writes one", "rule 14", ALWAYS, tests=TRANSCRIPT),
)
