"""Finding the file, reading it, and refusing it with everything that is wrong at once."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from watchdog import PROGRAM
from watchdog.config.checks import ConfigProblem, findings, remarks
from watchdog.config.document import Document, read_document
from watchdog.config.models import Config
from watchdog.config.policybook import build_policy_book
from watchdog.config.problems import ConfigError, KeyPath, Problem, closest, dotted
from watchdog.config.references import Surroundings, passwords_in, refers_only
from watchdog.config.refusals import problems_of
from watchdog.core.policy import PolicyBook
from watchdog.service.ownership import Accounts, NotTrusted, OnlyNumbers, judge_own

VARIABLE = "OPENCLAW_WATCHDOG_CONFIG"
FILE_NAME = "watchdog.yaml"
SYSTEM_FOLDER = Path("/etc/openclaw-watchdog")
BUILT_IN = "built-in defaults"
_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that can be used, where it came from, and the rules built from it."""

    config: Config
    policy_book: PolicyBook
    source: Path | None = None
    """The file; ``None``: built-in defaults, because no file was found."""
    searched: tuple[Path, ...] = ()
    """Where a file was looked for, in order, up to the one that was found."""
    warnings: tuple[Problem, ...] = ()
    """What loads but probably does not do what was meant. Shown by ``config check`` and ``doctor``, logged once."""
    document: Document = field(default_factory=lambda: Document(BUILT_IN), repr=False, compare=False)
    was_found: bool = field(default=False, compare=False)
    """Nobody named the file: it was found where one is looked for, so it must be ours each time it is read."""
    to_name: Path | None = field(default=None, compare=False)
    """The file as ``--config`` wants it in a command that somebody pastes elsewhere; ``None``: it is found without."""

    def problem_at(self, path: KeyPath, message: str, hint: str | None = None) -> Problem:
        """A problem found later (a missing secret, a port in use), with its place in the file."""
        return self.document.problem(path, message, hint)


def load(
    path: Path | str | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    system_folder: Path = SYSTEM_FOLDER,
    uid: int | None = None,
    accounts: Accounts | None = None,
    was_found: bool = False,
) -> LoadedConfig:
    """The configuration in force: from ``path``, or the first of ``search_paths`` that exists, or built in.

    ``env``, ``cwd`` and ``uid`` default to the process's own. Raises ``ConfigError`` with every problem found. A file that
    was asked for by name and is missing is a problem; a file in one of the usual places may be missing, not unreadable.

    A file that is only found must be of this account or root, and not be writable by everybody. ``watchdog.yaml`` of the
    working folder, which may be anybody's, is passed over otherwise (a warning), and refused when no other file says what is
    wanted; the others are refused. ``was_found``: ``path`` was found in such a place earlier, and nobody named it.
    """
    env = os.environ if env is None else env
    cwd = _working_folder() if cwd is None else cwd
    usual = search_paths(env, None, system_folder)
    judge = _Judge(os.geteuid() if uid is None else uid, accounts or OnlyNumbers(), cwd)
    if was_found and path is not None:
        file, shown = Path(path), str(path)
        content = _read(file, shown, judge)
        if content is None:
            raise ConfigError([Problem(shown, None, None, "", "there is no such file", _beside(file))])
        return _loaded(content, file, shown, env, (file,), usual, was_found=True)
    if path is not None or env.get(VARIABLE):
        asked = Path(os.path.expanduser(path if path is not None else env[VARIABLE]))  # noqa: PTH111 - never raises
        file = cwd / asked if cwd else asked
        shown = str(asked)
        origin = f"${VARIABLE} names it" if path is None else None
        content = _read(file, shown, hint=origin)
        if content is None:
            raise ConfigError([Problem(shown, None, None, "", "there is no such file", _beside(file) or origin)])
        return _loaded(content, file, shown, env, (file,), usual)
    searched: list[Path] = []
    strays: list[Problem] = []
    foreign: ConfigError | None = None
    for file in search_paths(env, cwd, system_folder):
        searched.append(file)
        shown = file.name if file.parent == cwd else str(file)
        try:
            content = _read(file, shown, judge)
        except _ForeignConfig as refused:
            if file.parent != cwd:
                raise
            foreign = refused
            continue
        if content is not None:
            loaded = _loaded(content, file, shown, env, tuple(searched), usual, was_found=True)
            return replace(loaded, warnings=(*loaded.warnings, *(foreign.problems if foreign is not None else ())))
        stray = file.with_suffix(".yml")
        if os.access(stray, os.R_OK):
            strays.append(Problem(str(stray), None, None, "", "this file is not read", f"rename it to {FILE_NAME}"))
    if foreign is not None:
        raise foreign
    config = Config()
    return LoadedConfig(config, build_policy_book(config), None, tuple(searched), tuple(strays))


class _ForeignConfig(ConfigError):
    """A file was found where one is looked for, and it is not ours to obey."""


@dataclass(frozen=True, slots=True)
class _Judge:
    """Whether a file that was found is ours."""

    uid: int
    accounts: Accounts
    cwd: Path | None

    def __call__(self, file: Path, opened: os.stat_result) -> None:
        try:
            judge_own(file, opened, self.uid, self.accounts, with_folder=file.parent == self.cwd)
        except NotTrusted as reason:
            raise _ForeignConfig([Problem(str(file), None, None, "", reason.problem, reason.way_out)]) from None


def search_paths(env: Mapping[str, str], cwd: Path | None, system_folder: Path = SYSTEM_FOLDER) -> tuple[Path, ...]:
    """Where a file is looked for when none is named, in order."""
    folders = (cwd, user_folder(env), system_folder)
    return tuple(folder / FILE_NAME for folder in folders if folder is not None)


def user_folder(env: Mapping[str, str]) -> Path | None:
    """The user's configuration folder for this program. ``None``: the user has no home (a bare system service)."""
    home = env.get("HOME")
    if (xdg := env.get("XDG_CONFIG_HOME")) and Path(xdg).is_absolute():
        return Path(xdg) / PROGRAM
    if not home:
        return None
    base = Path(home) / "Library/Application Support" if sys.platform == "darwin" else Path(home) / ".config"
    return base / PROGRAM


def parse(
    text: str, *, file: str = "<text>", env: Mapping[str, str] | None = None, folder: Path | None = None
) -> LoadedConfig:
    """A configuration from text (for ``replay``, ``demo`` and tests). Raises ``ConfigError``."""
    surroundings = Surroundings(os.environ if env is None else env, folder or _working_folder() or Path("/"))
    document = read_document(text, file)
    problems = list(document.problems)
    can_go_on = document.root is not None or not problems
    config, refused = _validated(document, surroundings, problems) if can_go_on else (Config(), set())
    document.root = None  # from here on only places are needed, and the values hold secrets
    if can_go_on:
        problems += _placed(document, findings(config), refused)
    if problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0)))
    warnings = tuple(_placed(document, remarks(config), refused))
    return LoadedConfig(config, build_policy_book(config), warnings=warnings, document=document)


def _validated(document: Document, surroundings: Surroundings, problems: list[Problem]) -> tuple[Config, set[KeyPath]]:
    """The configuration without its refused settings, so that the rest can still be checked, and what was refused."""
    root = copy.deepcopy(document.root) if document.root is not None else {}
    refused: set[KeyPath] = set()
    if not isinstance(root, dict):
        problems.append(document.problem((), "a configuration is made of 'key: value' lines", "e.g. poll_every: 30s"))
        return Config(), {()}
    while True:
        try:
            return Config.model_validate(root, context=surroundings), refused
        except ValidationError as error:
            found = list(problems_of(error, document))
        problems += [problem for _, problem in found]
        gone = {_cut(root, path) for path, _ in found}
        refused |= gone | {path for path, _ in found}
        if () in gone:
            return Config(), {()}


def _cut(root: dict[str, object], path: KeyPath) -> KeyPath:
    """Take the setting at ``path`` out of ``root``, with as much around it as must go; a list goes as a whole."""
    steps: list[tuple[dict[str, object], str, KeyPath]] = []
    here: object = root
    for depth, part in enumerate(path, 1):
        if isinstance(here, dict) and part in here:
            steps.append((here, str(part), path[:depth]))
            here = here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            break
    if not steps:
        return ()
    owner, key, cut = steps[-1]
    del owner[key]
    return cut


def _placed(document: Document, found: Iterable[ConfigProblem], refused: set[KeyPath]) -> Iterable[Problem]:
    """Findings as problems, without those that rest on a setting that was refused already."""
    for finding in found:
        paths = (finding.path, *finding.related)
        if any(_overlap(path, other) for path in (*paths, *finding.rests_on) for other in refused):
            continue
        path = next((path for path in paths if path in document.places), finding.path)
        key = finding.at_key or path not in document.places
        place = document.locate(path, key=key)
        message = finding.message
        if finding.beside is not None:
            line, _ = document.locate(finding.beside)
            message += f" at {document.file}:{line}"
        yield Problem(document.file, *place, dotted(finding.path), message, finding.hint)


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _loaded(
    content: bytes,
    file: Path,
    shown: str,
    env: Mapping[str, str],
    searched: tuple[Path, ...],
    usual: tuple[Path, ...],
    *,
    was_found: bool = False,
) -> LoadedConfig:
    """``usual``: where a command looks that is typed in any folder."""
    loaded = parse(_decoded(content, shown), file=shown, env=env, folder=file.absolute().parent)
    warnings = (*loaded.warnings, *_exposed(loaded.config, file, shown))
    is_found_anywhere = next((place for place in usual if os.access(place, os.F_OK)), None) == file.absolute()
    return replace(
        loaded,
        source=file,
        searched=searched,
        warnings=warnings,
        was_found=was_found,
        to_name=None if is_found_anywhere else file.absolute(),
    )


def _read(file: Path, shown: str, judge: _Judge | None = None, *, hint: str | None = None) -> bytes | None:
    """The file's bytes. ``None``: there is no such file. ``judge``: it was not named, so it must be ours. ``hint``: who named it."""
    try:
        with file.open("rb") as stream:
            if judge is not None:
                judge(file, os.fstat(stream.fileno()))
            content = stream.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigError([Problem(shown, None, None, "", f"cannot be read: {reason}", hint)]) from None
    if len(content) > _LARGEST:
        raise ConfigError([Problem(shown, None, None, "", "larger than 1 MiB: this is not a configuration", hint)])
    return content


def _decoded(content: bytes, shown: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        message = "this is not UTF-8 text"
        raise ConfigError([Problem(shown, line, column, "", message, "save the file as UTF-8")]) from None


def _beside(file: Path) -> str | None:
    """A file of nearly this name in the same folder."""
    try:
        names = sorted(entry.name for entry in file.parent.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return None
    near = closest(file.name, names)
    return f"did you mean '{near}'?" if near else None


def _exposed(config: Config, file: Path, shown: str) -> Iterable[Problem]:
    """A remark when others on this machine can read a secret that stands in the file itself."""
    secrets = [secret for gateway in config.gateways for secret in (gateway.token, gateway.password)]
    secrets += [config.heartbeat_url, *(target.url for target in config.notify)]
    secrets += [config.ledger] if config.ledger and passwords_in(config.ledger.get_secret_value()) else []
    try:
        is_open = file.stat().st_mode & 0o044
    except OSError:
        return
    if is_open and any(secret is not None and not refers_only(secret.get_secret_value()) for secret in secrets):
        message = "other users of this machine can read the secrets in this file"
        yield Problem(shown, None, None, "", message, f"chmod 600 {shown}, or use ${{NAME}} or token_file")


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None
