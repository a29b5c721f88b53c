"""YAML text -> plain values, and where in the file each of them stands.

Reads YAML 1.2 (``no`` and ``22:30`` are text) into dicts, lists, str, int, float, bool and None; dates stay text. The
parser stops at the first broken line; everything after parsing (repeated keys, tags) is collected, not raised.
Messages are our own words: the parser's quote the file, and the file holds secrets.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from watchdog.config.problems import KeyPath, Problem, dotted, quoted

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset(_TAG + name for name in ("str", "timestamp", "merge", "value"))
_QUOTE_IT = "put the text in quotes"
_HALF = re.compile("[\ud800-\udfff]")
"""What ``"\\ud83d"`` alone stands for; nothing can be written with it."""
_DEEPEST, _LARGEST = 40, 50_000
"""Levels and settings: beyond these, a file (or its aliases) is not a configuration."""


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, from 1, of a key (or list entry) and of its value."""

    key: tuple[int, int]
    value: tuple[int, int]


@dataclass(slots=True)
class Document:
    """A parsed file. ``root`` is ``None`` for an empty one; ``problems`` are those of the YAML itself."""

    file: str
    root: object = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def locate(self, path: KeyPath, *, key: bool = False) -> tuple[int | None, int | None]:
        """Where ``path`` stands, or the nearest thing around it that the file does have."""
        for length in range(len(path), -1, -1):
            if place := self.places.get(path[:length]):
                return place.key if key and length == len(path) else place.value
        return (None, None)

    def problem(self, path: KeyPath, message: str, hint: str | None = None, *, key: bool = False) -> Problem:
        """A problem at ``path``: at its key when the key is what is wrong, else at its value."""
        return Problem(self.file, *self.locate(path, key=key), dotted(path), message, hint)


def read_document(text: str, file: str) -> Document:
    """Parse ``text``; what is wrong with it ends in ``problems``. Never raises."""
    document = Document(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            node = YAML(pure=True).compose(text)
        if node is not None:
            document.root = _Reading(document).value(node, (), _mark(node))
    except ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        document.problems.append(Problem(file, line, column, "", "this character is not allowed in YAML", "delete it"))
    except MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error, file))
    except (YAMLError, ValueError):
        document.problems.append(Problem(file, None, None, "", "this is not YAML"))
    except RecursionError:
        document.problems.append(Problem(file, None, None, "", "too deep or too large to be a configuration"))
    return document


class _Reading:
    """Nodes -> values. Follows aliases, which may contain themselves."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def value(self, node: Node, path: KeyPath, key_at: tuple[int, int]) -> object:
        is_nothing = isinstance(node, ScalarNode) and node.value == "" and node.style is None
        self.document.places[path] = Place(key_at, key_at if is_nothing else _mark(node))
        if len(path) > _DEEPEST or len(self.document.places) > _LARGEST:
            raise RecursionError
        tag = str(node.tag)
        if not tag.startswith(_TAG) or tag in (_TAG + "binary", _TAG + "set", _TAG + "omap", _TAG + "pairs"):
            self._refuse(path, "'!' starts a YAML tag, and tags have no meaning here", _QUOTE_IT)
            return None
        if is_nothing and node.anchor:
            self._refuse(path, "'&' starts a YAML anchor, and nothing follows it", _QUOTE_IT)
        if isinstance(node, ScalarNode) and _HALF.search(node.value):
            self._refuse(path, "half of a surrogate pair is no text", "write the character itself")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index), _mark(item)) for index, item in enumerate(node.value)]
        return _scalar(node.value, tag)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: list[Node] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                line, column = _mark(key)
                self.document.problems.append(
                    Problem(self.document.file, line, column, dotted(path), "a key is a single word", _QUOTE_IT)
                )
            elif _HALF.search(key.value):
                line, column = _mark(key)
                self.document.problems.append(
                    Problem(self.document.file, line, column, dotted(path), "half of a surrogate pair is no key")
                )
            elif str(key.tag) == _TAG + "merge":
                merged += value.value if isinstance(value, SequenceNode) else [value]
            elif key.value in found:
                first = self.document.places[(*path, key.value)].key[0]
                line, column = _mark(key)
                message = f"{quoted(key.value)} is given twice, first on line {first}"
                where = dotted((*path, key.value))
                self.document.problems.append(Problem(self.document.file, line, column, where, message, "keep one"))
            else:
                found[key.value] = self.value(value, (*path, key.value), _mark(key))
        for source in merged:
            self._merge(source, path, found)
        return found

    def _merge(self, source: Node, path: KeyPath, found: dict[str, object]) -> None:
        """``<<: *anchor``: the anchor's keys, where the mapping has none of its own."""
        if not isinstance(source, MappingNode):
            line, column = _mark(source)
            message = "'<<' takes in a mapping, and this is none"
            self.document.problems.append(Problem(self.document.file, line, column, dotted(path), message))
            return
        for key, value in source.value:
            if isinstance(key, ScalarNode) and key.value not in found and str(key.tag) != _TAG + "merge":
                found[key.value] = self.value(value, (*path, key.value), _mark(key))

    def _refuse(self, path: KeyPath, message: str, hint: str) -> None:
        self.document.problems.append(self.document.problem(path, message, hint))


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(text: str, tag: str) -> object:
    if tag in _TEXT_TAGS:
        return text
    try:
        if tag == _TAG + "int":
            digits = text.replace("_", "")
            return int(digits, 0 if re.match(r"[-+]?0[xob]", digits) else 10)
        if tag == _TAG + "float":
            return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.replace("_", ""), flags=re.IGNORECASE))
    except ValueError:
        return text
    if tag == _TAG + "bool":
        return text.lower() in ("true", "yes", "on", "y")
    return None if tag == _TAG + "null" else text


def _syntax_problem(error: MarkedYAMLError, file: str) -> Problem:
    said = " ".join(str(part) for part in (error.context, error.problem) if part)
    opening = error.context_mark
    for pattern, message, hint, at_opening in _SYNTAX:
        if re.search(pattern, said):
            at = opening if at_opening and opening else error.problem_mark or opening
            text = message.format(opened=f" on line {opening.line + 1}" if opening else "")
            return Problem(file, at.line + 1 if at else None, at.column + 1 if at else None, "", text, hint)
    at = error.problem_mark or opening
    line, column = (at.line + 1, at.column + 1) if at else (None, None)
    hint = "check the indentation, quotes and brackets around here"
    return Problem(file, line, column, "", "this is not valid YAML", hint)


_CLOSE = "close it, or is the file cut off?"
_SYNTAX: tuple[tuple[str, str, str, bool], ...] = (
    (r"found character '\\t'", "a tab stands where YAML wants spaces", "indent with spaces", False),
    (r"cannot start any token", "text cannot begin with this character", _QUOTE_IT, False),
    (r"simple key.*could not find expected ':'", "this line has no ':' after its key", "is it cut off?", True),
    (r"mapping values are not allowed", "a ':' is not expected here",
     "is the line indented like its neighbours? put text that contains ': ' in quotes", False),
    (r"sequence entries are not allowed", "a list cannot start here", "begin it on the next line", False),
    (r"flow sequence.*got '<stream end>'", "the '[' opened here is never closed", _CLOSE, True),
    (r"flow mapping.*got '<stream end>'", "the '{{' opened here is never closed", _CLOSE, True),
    (r"flow (sequence|mapping).*got '[{[]'", "a bracket inside the brackets opened{opened}",
     "put text with { } or [ ] in quotes, e.g. \"${TOKEN}\"", False),
    (r"flow sequence.*expected ',' or '\]'", "',' or ']' expected: the list opened{opened} goes on here",
     "close it with ']'", False),
    (r"flow mapping.*expected ',' or '}'", "',' or '}}' expected: the mapping opened{opened} goes on here",
     "close it with '}'", False),
    (r"quoted scalar.*unexpected (end of stream|document separator)", "the quote opened here is never closed",
     _CLOSE, True),
    (r"double-quoted scalar", "'\\' starts a special character inside \"…\", and this is none",
     "use single quotes, or write \\\\", False),
    (r"undefined alias|scanning an alias", "'*' starts a YAML alias, and none of this name exists", _QUOTE_IT, False),
    (r"scanning an anchor", "'&' starts a YAML anchor, and this is none", _QUOTE_IT, False),
    (r"tag", "'!' starts a YAML tag, and this one is not known", _QUOTE_IT, False),
    (r"another document", "a second document starts here, and a configuration is one", "delete the '---'", False),
    (r"expected <block end>", "this line does not fit the ones above it",
     "check the indentation: keys of one section start in the same column", False),
    (r"directive", "'%' starts a YAML directive, and this is none", _QUOTE_IT, False),
)  # fmt: skip
"""What the parser says -> what we say, the way out, and whether to point at where the construct was opened."""
