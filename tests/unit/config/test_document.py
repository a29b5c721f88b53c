"""YAML in: values, places, and broken files in plain words."""

from __future__ import annotations

import pytest

from watchdog.config.document import read_document
from watchdog.config.problems import Problem


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read_document(text, "w.yaml").problems]


def test_values_are_yaml_1_2() -> None:
    text = (
        "a: 1\nb: no\nc: 22:30\nd: 2020-01-01\ne: 0x10\nf: 1_000\ng: 010\nh: 1.5\ni: .inf\nj: true\nk: ~\nl: '1'\nm:\n"
    )
    assert read_document(text, "").root == {
        "a": 1,
        "b": "no",
        "c": "22:30",
        "d": "2020-01-01",
        "e": 16,
        "f": 1000,
        "g": 10,
        "h": 1.5,
        "i": float("inf"),
        "j": True,
        "k": None,
        "l": "1",
        "m": None,
    }


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "\ufeff"])
def test_an_empty_file_is_nothing(text: str) -> None:
    document = read_document(text, "")
    assert document.root is None
    assert document.problems == []


def test_places_of_keys_values_and_entries() -> None:
    document = read_document("a:\n  - b: 1\n    c: [x, y]\n  - d:\n", "w.yaml")
    assert document.locate(("a", 0, "b"), key=True) == (2, 5)
    assert document.locate(("a", 0, "b")) == (2, 8)
    assert document.locate(("a", 0, "c", 1)) == (3, 12)
    assert document.locate(("a", 1, "d")) == (4, 5), "an empty value is where its key is"
    assert document.locate(("a", 1, "missing", "deeper")) == (4, 5), "else the nearest thing around it"


def test_anchors_and_merge_keys() -> None:
    text = "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\nz: {<<: [*x, {c: 4}]}\n"
    assert read_document(text, "").root == {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}, "z": {"a": 1, "b": 2, "c": 4}}


def test_every_repeated_key_is_named() -> None:
    assert problems("a: 1\nb:\n  c: 1\n  c: 2\na: 3\na: 4\n") == [
        "w.yaml:4:3: 'c' is given twice, first on line 3 (keep one)",
        "w.yaml:5:1: 'a' is given twice, first on line 1 (keep one)",
        "w.yaml:6:1: 'a' is given twice, first on line 1 (keep one)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 1\n", "2:1: a tab stands where YAML wants spaces (indent with spaces)"),
        ("a: @x\n", "1:4: text cannot begin with this character (put the text in quotes)"),
        ("a: `x\n", "1:4: text cannot begin with this character (put the text in quotes)"),
        ("a: %x\n", "1:4: text cannot begin with this character (put the text in quotes)"),
        ("a: 1\nthresh", "2:1: this line has no ':' after its key (is it cut off?)"),
        (
            "a: b: c\n",
            (
                "1:5: a ':' is not expected here "
                "(is the line indented like its neighbours? put text that contains ': ' in quotes)"
            ),
        ),
        ("a: - b\n", "1:4: a list cannot start here (begin it on the next line)"),
        ("a: [1, 2\n", "1:4: the '[' opened here is never closed (close it, or is the file cut off?)"),
        ("a: {b: 1\n", "1:4: the '{' opened here is never closed (close it, or is the file cut off?)"),
        ("a: [1\nb: 2\n", "2:2: ',' or ']' expected: the list opened on line 1 goes on here (close it with ']')"),
        ("a: {b: [1}\n", "1:10: ',' or ']' expected: the list opened on line 1 goes on here (close it with ']')"),
        ("a: {b: 1]\n", "1:9: ',' or '}' expected: the mapping opened on line 1 goes on here (close it with '}')"),
        (
            "a: {b: ${X}}\n",
            '1:9: a bracket inside the brackets opened on line 1 (put text with { } or [ ] in quotes, e.g. "${TOKEN}")',
        ),
        ("a: 'x\n", "1:4: the quote opened here is never closed (close it, or is the file cut off?)"),
        ('a: "x\n', "1:4: the quote opened here is never closed (close it, or is the file cut off?)"),
        ("a: '\n---\n", "1:4: the quote opened here is never closed (close it, or is the file cut off?)"),
        (
            'a: "\\q"\n',
            "1:6: '\\' starts a special character inside \"…\", and this is none (use single quotes, or write \\\\)",
        ),
        ("a: *x\n", "1:4: '*' starts a YAML alias, and none of this name exists (put the text in quotes)"),
        ("a: *\n", "1:5: '*' starts a YAML alias, and none of this name exists (put the text in quotes)"),
        ("a: &\n", "1:5: '&' starts a YAML anchor, and this is none (put the text in quotes)"),
        ("a: &x\n", "1:1: '&' starts a YAML anchor, and nothing follows it (put the text in quotes)"),
        ("a: !x\n", "1:1: '!' starts a YAML tag, and tags have no meaning here (put the text in quotes)"),
        ("a: !x y\n", "1:4: '!' starts a YAML tag, and tags have no meaning here (put the text in quotes)"),
        ("a: !!binary aa\n", "1:4: '!' starts a YAML tag, and tags have no meaning here (put the text in quotes)"),
        ("a: !e!x y\n", "1:4: '!' starts a YAML tag, and this one is not known (put the text in quotes)"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document starts here, and a configuration is one (delete the '---')"),
        (
            "a:\n  b: 1\n c: 2\n",
            (
                "3:2: this line does not fit the ones above it "
                "(check the indentation: keys of one section start in the same column)"
            ),
        ),
        ('a: "half \\ud83d"\n', "1:4: half of a surrogate pair is no text (write the character itself)"),
        ('a: {"half \\ud83d": 1}\n', "1:5: half of a surrogate pair is no key"),
        ("a: 1\nb: \x01\n", "2:4: this character is not allowed in YAML (delete it)"),
        ("? [a]\n: b\n", "1:3: a key is a single word (put the text in quotes)"),
        ("a:\n  <<: 5\n", "2:7: '<<' takes in a mapping, and this is none"),
    ],
)
def test_broken_yaml_in_plain_words(text: str, expected: str) -> None:
    assert problems(text) == [f"w.yaml:{expected}"]


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize("text", ["a: &x [*x]\n", "a: &x\n  <<: *x\n  b: &y {c: *y}\n", "[" * 3000, LAUGHS])
def test_self_containing_and_huge_documents_end(text: str) -> None:
    assert problems(text) == ["w.yaml: too deep or too large to be a configuration"]


@pytest.mark.parametrize("text", ["t: *hunter2", "t: &hunter2", "t: !hunter2 x", "t: !h!hunter2 x", "t: @hunter2"])
def test_the_parsers_words_do_not_leak(text: str) -> None:
    assert "hunter2" not in str(problems(text))


def test_a_problem_without_a_place_renders_without_one() -> None:
    assert str(Problem("w.yaml", None, None, "", "message", "hint")) == "w.yaml: message (hint)"
