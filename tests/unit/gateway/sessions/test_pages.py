"""``sessions.list`` to its end: three styles of paging, and lists that move while they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.shapes import raw
from watchdog.gateway.sessions.pages import (
    MAX_PAGES,
    MOST_FRONTS,
    MOST_ROWS,
    MOST_SPLITS,
    MOST_SURPLUS,
    MOST_TEXT,
    PAGE_SIZE,
    Pager,
    read_page,
)
from watchdog.gateway.wire.hello import LONGEST_KEY
from watchdog.service import errors

Params = dict[str, Any]
Answer = dict[str, Any]


def _rows(first: int, last: int) -> list[dict[str, Any]]:
    return [{"key": f"k{number}"} for number in range(first, last)]


def _read(answer: Callable[[Params], Answer], *, counts_pages: bool = True) -> tuple[Pager, list[Params]]:
    """Page through what ``answer`` says until the pager is done."""
    pager, asked = Pager(counts_pages=counts_pages), []
    while (params := pager.next_request()) is not None:
        asked.append(params)
        assert len(asked) <= MAX_PAGES + 1, "it never ends"
        try:
            page = read_page(raw(answer(params)), None, pager.position, params.get("limit"))
        except errors.AnswerUnreadable as problem:
            pager.fail(problem)
        else:
            pager.take(page)
    return pager, asked


def _by_offset(rows: list[dict[str, Any]], params: Params) -> Answer:
    """2026.9.6."""
    first = params.get("offset", 0)
    page = rows[first : first + params["limit"]]
    end = first + len(page)
    more = end < len(rows)
    return {
        "ts": 1795164548269,
        "path": "(multiple)",
        "count": len(page),
        "totalCount": len(rows),
        "limitApplied": params["limit"],
        "nextOffset": end if more else None,
        "hasMore": more,
        "sessions": page,
    }


def _by_limit(rows: list[dict[str, Any]], params: Params) -> Answer:
    """2026.5.18: 100 unless a limit is given, and no offset."""
    assert "offset" not in params, "5.18 refuses it"
    page = rows[: params.get("limit", 100)]
    return {"ts": 1, "count": len(page), "totalCount": len(rows), "hasMore": len(page) < len(rows), "sessions": page}


# ---------------------------------------------------------------- the three styles


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 5000])
def test_324_and_414_send_everything_at_once(count: int) -> None:
    pager, asked = _read(lambda _: {"ts": 1, "count": count, "sessions": _rows(0, count)}, counts_pages=False)
    assert pager.is_complete
    assert len(pager.sessions) == count
    assert asked == [{"includeGlobal": True, "includeUnknown": True}], "a limit would cut rows silently"


@pytest.mark.parametrize("count", [0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 1000, 3333])
def test_518_is_asked_again_with_a_larger_limit(count: int) -> None:
    pager, asked = _read(lambda params: _by_limit(_rows(0, count), params))
    assert pager.is_complete
    assert [row.key for row in pager.sessions] == [f"k{number}" for number in range(count)]
    assert len(asked) == (1 if count <= PAGE_SIZE else 2)


@pytest.mark.parametrize("count", [0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 1000, 3333])
def test_96_is_paged_by_offset(count: int) -> None:
    pager, asked = _read(lambda params: _by_offset(_rows(0, count), params))
    assert pager.is_complete
    assert len(pager.sessions) == count
    assert len(asked) == max(1, -(-count // PAGE_SIZE))
    assert [params.get("offset", 0) for params in asked] == [PAGE_SIZE * number for number in range(len(asked))]


def test_what_would_hide_old_rows_is_never_asked_for() -> None:
    for counts_pages in (True, False):
        _, asked = _read(lambda params: _by_offset(_rows(0, 600), {"limit": 100} | params), counts_pages=counts_pages)
        assert not {"activeMinutes", "search", "agentId", "configuredAgentsOnly"} & set().union(*asked)


def test_an_unknown_version_that_cuts_at_100_and_says_so_is_read_whole() -> None:
    pager, _ = _read(lambda params: _by_limit(_rows(0, 450), params), counts_pages=False)
    assert pager.is_complete
    assert len(pager.sessions) == 450


# ---------------------------------------------------------------- lists that move


def test_a_row_that_moves_to_the_front_while_we_read_is_seen_and_counted_once() -> None:
    rows = _rows(0, 600)
    asked_before: list[Params] = []

    def answer(params: Params) -> Answer:
        page = _by_offset(rows, params)
        if not asked_before:
            rows.insert(0, rows.pop(400))
        asked_before.append(params)
        return page

    pager, asked = _read(answer)
    assert pager.is_complete
    assert len({row.key for row in pager.sessions}) == len(pager.sessions) == 600
    assert len(asked) == 4, "k400 was on no page, the total said so, and the first page was read once more"
    assert asked[-1].get("offset", 0) == 0


def test_a_busy_list_whose_rows_move_to_the_front_all_the_time_is_read_whole() -> None:
    """10,000 rows of which 1 % change in a minute: a sweep of three seconds met five of them."""
    rows = _rows(0, 600)

    def answer(params: Params) -> Answer:
        page = _by_offset(rows, params)
        rows.insert(0, rows.pop(-1))
        return page

    pager, asked = _read(answer)
    assert pager.is_complete
    assert {row.key for row in pager.sessions} == {f"k{number}" for number in range(600)}
    assert len(asked) == 4


def test_a_list_with_rows_on_no_page_is_not_whole_however_often_the_first_is_read() -> None:
    """So many changed that the first page does not hold them."""
    rows = _rows(0, 2000)

    def answer(params: Params) -> Answer:
        page = _by_offset(rows, params)
        for _ in range(PAGE_SIZE + 1):
            rows.insert(0, rows.pop(-1))
        return page

    pager, asked = _read(answer)
    assert not pager.is_complete
    assert len({row.key for row in pager.sessions}) < 2000
    assert len(asked) <= 2 * (2000 // PAGE_SIZE + MOST_FRONTS)


def test_a_short_page_is_made_good_by_reading_once_more() -> None:
    rows = _rows(0, 400)
    asked_before: list[Params] = []

    def answer(params: Params) -> Answer:
        page = _by_offset(rows, params)
        if not asked_before:
            del page["sessions"][-1]
        asked_before.append(params)
        return page

    pager, asked = _read(answer)
    assert pager.is_complete
    assert len(pager.sessions) == 400
    assert len(asked) <= 4


def test_a_list_that_keeps_losing_rows_is_not_whole() -> None:
    def answer(params: Params) -> Answer:
        page = _by_offset(_rows(0, 400), params)
        page["sessions"] = page["sessions"][:-1]
        return page

    pager, asked = _read(answer)
    assert not pager.is_complete
    assert len(asked) <= 6


def test_a_growing_total_is_followed() -> None:
    rows = _rows(0, 300)

    def answer(params: Params) -> Answer:
        page = _by_offset(rows, params)
        rows.extend(_rows(len(rows), min(900, len(rows) + 300)))
        return page

    pager, _ = _read(answer)
    assert pager.is_complete
    assert len(pager.sessions) == 900


def test_rows_that_vanish_while_we_read_do_not_hide_those_behind_them() -> None:
    """The last total is reached all the same: by rows that are gone, in place of some that were passed over."""
    rows = _rows(0, 800)
    asked_before: list[Params] = []

    def answer(params: Params) -> Answer:
        page = _by_offset(rows, params)
        if not asked_before:
            del rows[:10]
        asked_before.append(params)
        return page

    pager, _ = _read(answer)
    assert pager.is_complete
    assert {row.key for row in pager.sessions} == {f"k{number}" for number in range(10, 800)}


def test_a_list_that_shrinks_all_the_time_is_not_called_whole() -> None:
    rows = _rows(0, 2000)

    def answer(params: Params) -> Answer:
        page = _by_offset(rows, params)
        del rows[:20]
        return page

    pager, asked = _read(answer)
    assert not pager.is_complete
    assert len(asked) < 20


# ---------------------------------------------------------------- lies


LIES: dict[str, Callable[[Params], Answer]] = {
    "more, always, somewhere": lambda params: {
        "sessions": _rows(params.get("offset", 0), params.get("offset", 0) + 1),
        "hasMore": True,
        "nextOffset": params.get("offset", 0) + 1,
        "totalCount": 10**9,
    },
    "more, always, at the same place": lambda _: {"sessions": _rows(0, 5), "hasMore": True, "nextOffset": 5},
    "more, and an empty page": lambda _: {"sessions": [], "hasMore": True, "nextOffset": 0},
    "more, and no way to get it": lambda _: {"sessions": _rows(0, 5), "hasMore": True},
    "no more, but the total says so": lambda _: {"sessions": _rows(0, 5), "hasMore": False, "totalCount": 50},
    "a total that is never reached": lambda _: {"sessions": _rows(0, 5), "totalCount": 6},
    "the same page again, somewhere else": lambda params: {
        "sessions": _rows(0, 5),
        "hasMore": True,
        "nextOffset": params.get("offset", 0) + 5,
    },
    "backwards": lambda params: {
        "sessions": _rows(params.get("offset", 0), params.get("offset", 0) + 5),
        "hasMore": True,
        "nextOffset": -1,
    },
    "more rows than were asked for": lambda _: {"sessions": _rows(0, PAGE_SIZE + MOST_SURPLUS + 1), "hasMore": False},
    "more sessions than are read": lambda _: {"sessions": _rows(0, MOST_ROWS + 1)},
    "page after page of sessions for ever": lambda params: {
        "sessions": _rows(params.get("offset", 0), params.get("offset", 0) + PAGE_SIZE),
        "hasMore": True,
        "nextOffset": params.get("offset", 0) + PAGE_SIZE,
    },
    "a total that runs away": lambda params: {
        "sessions": _rows(0, min(params["limit"], 2000)),
        "hasMore": True,
        "totalCount": params["limit"] * 2,
    },
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES)
def test_a_list_that_lies_is_given_up_and_called_incomplete(answer: Callable[[Params], Answer]) -> None:
    pager, asked = _read(answer)
    assert not pager.is_complete
    assert len(asked) <= MAX_PAGES + 1


@pytest.mark.parametrize("lie", ["the same page again, somewhere else", "backwards"])
def test_a_list_that_goes_round_is_given_up_at_once(lie: str) -> None:
    pager, asked = _read(LIES[lie])
    assert "the same rows come again" in pager.malformed[-1].reason
    assert len(asked) <= 2


@pytest.mark.parametrize("counts_pages", [True, False])
def test_a_list_that_is_too_long_is_read_to_a_bound_and_that_is_said(*, counts_pages: bool) -> None:
    rows = _rows(0, 2 * MOST_ROWS)
    pager, _ = _read(lambda params: _by_offset(rows, {"limit": 10**6} | params), counts_pages=counts_pages)
    assert not pager.is_complete
    assert MOST_ROWS <= len(pager.sessions) <= MOST_ROWS + PAGE_SIZE
    assert "too long" in pager.malformed[-1].reason


@pytest.mark.parametrize("letter", ["x", "😀"])
@pytest.mark.parametrize("field", ["lastRunId", "lastRunError", "spawnedBy"])
def test_few_rows_with_long_texts_are_too_much_as_well(field: str, letter: str) -> None:
    """One emoji makes a text of 1 MB take four."""
    long = letter + "x" * 1_000_000

    def answer(params: Params) -> Answer:
        offset = params.get("offset", 0)
        row = {"key": f"k{offset}"}
        return {"sessions": [row | {field: f"{offset}{long}"}], "hasMore": True, "nextOffset": offset + 1}

    pager, asked = _read(answer)
    assert not pager.is_complete
    assert len(asked) <= (MOST_TEXT >> 20) / (1 if letter == "x" else 4) + 2


def test_a_key_that_is_longer_than_any_is_a_row_that_cannot_be_read() -> None:
    long, other = {"key": "x" * (LONGEST_KEY + 1)}, {"key": "x" * (LONGEST_KEY + 1), "status": 7}
    pager, _ = _read(lambda _: {"sessions": [long, {"key": "x" * LONGEST_KEY}, other], "totalCount": 3})
    assert pager.is_complete
    assert [len(row.key) for row in pager.sessions] == [LONGEST_KEY]
    assert {(row.key, row.reason) for row in pager.malformed} == {
        (None, "a key or session id has a NUL in it, or more than 1000 bytes")
    }
    assert len(pager.malformed) == 2


@pytest.mark.parametrize("odd", ["\0", "\N{DOG FACE}" * (LONGEST_KEY // 4 + 1), "\u00e9" * (LONGEST_KEY // 2 + 1)])
def test_a_name_that_no_ledger_finds_again_is_a_row_that_cannot_be_read(odd: str) -> None:
    rows = [{"key": f"a{odd}"}, {"key": "b", "sessionId": odd}, {"key": f"c{odd}", "status": 7}]
    fine = "\N{DOG FACE}" * (LONGEST_KEY // 4)
    pager, _ = _read(lambda _: {"sessions": [*rows, {"key": fine, "sessionId": "x" * LONGEST_KEY}], "totalCount": 4})
    assert pager.is_complete
    assert [row.key for row in pager.sessions] == [fine]
    assert len(pager.malformed) == 3
    assert {(row.key, "has a NUL in it" in row.reason) for row in pager.malformed} == {(None, True)}


@pytest.mark.parametrize("count", [MOST_ROWS - 1, MOST_ROWS])
def test_a_list_as_long_as_can_be_is_read_whole(count: int) -> None:
    pager, _ = _read(lambda _: {"sessions": _rows(0, count)}, counts_pages=False)
    assert pager.is_complete
    assert len(pager.sessions) == count


# ---------------------------------------------------------------- pages that cannot be read


def _with_bad(bad: set[int], count: int = 700) -> tuple[Pager, list[Params]]:
    """2026.9.6; no page can be read that holds a row of ``bad``."""
    rows = _rows(0, count)

    def answer(params: Params) -> Answer:
        offset = params.get("offset", 0)
        is_bad = any(offset <= place < offset + params["limit"] for place in bad)
        return {} if is_bad else _by_offset(rows, params)

    return _read(answer)


@given(st.sets(st.integers(PAGE_SIZE, 699), min_size=1, max_size=2))
def test_one_bad_row_never_blinds_the_rest(bad: set[int]) -> None:
    pager, asked = _with_bad(bad)
    assert pager.is_complete
    assert {row.position for row in pager.malformed} == bad
    assert {row.key for row in pager.sessions} == {f"k{place}" for place in range(700) if place not in bad}
    assert len(asked) <= 4 + MOST_SPLITS


def test_a_row_on_the_first_page_is_found_too() -> None:
    pager, _ = _with_bad({150})
    assert pager.is_complete
    assert [row.position for row in pager.malformed] == [150]


def test_where_the_very_first_row_cannot_be_read_nothing_says_that_there_are_offsets() -> None:
    pager, asked = _with_bad({0})
    assert not pager.is_complete
    assert "cannot be read" in pager.malformed[0].reason
    assert len(asked) < 12


def test_bad_rows_everywhere_end_the_reading() -> None:
    pager, asked = _with_bad(set(range(PAGE_SIZE, 700)))
    assert not pager.is_complete
    assert len(pager.sessions) == PAGE_SIZE
    assert len(asked) <= 4 + MOST_SPLITS


def test_without_offsets_the_rows_above_are_read() -> None:
    """2026.5.18."""
    pager, asked = _read(lambda params: _by_limit(_rows(0, 900), params) if params["limit"] <= 600 else {})
    assert not pager.is_complete
    assert len(pager.sessions) >= PAGE_SIZE
    assert len(asked) < 12


def test_without_a_limit_there_is_nothing_to_ask_for_in_parts() -> None:
    """2026.3.24."""
    pager, asked = _read(lambda _: {}, counts_pages=False)
    assert not pager.is_complete
    assert len(asked) == len(pager.malformed) == 1


def test_a_connection_that_did_not_survive_it_is_not_asked_again() -> None:
    pager = Pager(counts_pages=True)
    pager.fail(errors.AnswerUnreadable("home: too large.", ends_connection=True))
    assert pager.next_request() is None
    assert not pager.is_complete


def test_no_more_said_on_a_full_list_is_believed() -> None:
    pager, _ = _read(lambda _: {"sessions": _rows(0, 5), "hasMore": False, "totalCount": 3})
    assert pager.is_complete, "a total smaller than what we hold hides nothing from us"


# ---------------------------------------------------------------- malformed rows and answers


def test_a_malformed_row_is_reported_at_its_place_and_counts_as_read() -> None:
    rows: list[Any] = _rows(0, 300)
    rows[260] = {"key": "k260", "status": 7}
    pager, _ = _read(lambda params: _by_offset(rows, params))
    assert pager.is_complete
    assert len(pager.sessions) == 299
    assert [(row.position, row.key) for row in pager.malformed] == [(260, "k260")]


def test_reading_again_reports_a_malformed_row_once() -> None:
    rows: list[Any] = [{"key": 7}, *_rows(0, 900)]
    pager, _ = _read(lambda params: _by_limit(rows, params))
    assert len(pager.malformed) == 1


@pytest.mark.parametrize(
    "answer",
    [None, [], 5, "text", {}, {"ok": True}, {"sessions": None}, {"sessions": {}}, {"sessions": [], "totalCount": "x"}],
)
def test_an_answer_that_is_no_list_is_unreadable_and_never_an_empty_list(answer: object) -> None:
    with pytest.raises(errors.AnswerUnreadable):
        read_page(raw(answer), None, 0)


def test_bytes_that_are_no_document() -> None:
    for data in (b"{", b'{"sessions":"\xff"}', b"[" * 100_000):
        with pytest.raises(errors.AnswerUnreadable):
            read_page(msgspec.Raw(data), None, 0)


def test_the_gateways_clock_travels_along() -> None:
    assert read_page(raw({"sessions": [], "ts": 17.5}), None, 0).clock_ms == 17.5
    assert read_page(raw({"sessions": []}), None, 0).clock_ms is None


@given(
    pages=st.lists(
        st.fixed_dictionaries(
            {"sessions": st.lists(st.sampled_from([{"key": "a"}, {"key": "b"}, {"key": 7}, None]), max_size=4)},
            optional={
                "hasMore": st.none() | st.booleans(),
                "nextOffset": st.none() | st.integers(-5, 10),
                "totalCount": st.none() | st.integers(-5, 20),
            },
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_it_says_reading_ends_and_a_whole_list_has_its_total(pages: list[Answer]) -> None:
    said: list[Answer] = []

    def answer(_: Params) -> Answer:
        said.append(pages[len(said) % len(pages)])
        return said[-1]

    pager, _asked = _read(answer)
    if pager.is_complete:
        total = said[-1].get("totalCount")
        assert not said[-1].get("hasMore")
        assert total is None or len(pager.sessions) + len(pager.malformed) >= total
