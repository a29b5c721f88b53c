"""Worlds for the e2e tests: made once per module, shown when a test fails, and never left running.

The oldest and the newest release are tried whole every day. Each day has one release of what people do over Telegram, which
is long, and one of the middle ones whole; 2026.4.14 and 5.18 show on the days of the others that a stuck session is found and
begun afresh. `--every-release` runs them all, and `CI_DAY` (days since 1970) what another day had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.conditions import epoch_ms
from tests.e2e.harness.releases import V3_24, V4_14, V5_18, V8_2, V9_6, Release
from tests.e2e.harness.shutdown import leave_in_order_when_told
from tests.e2e.harness.world import World

MakeWorld = Callable[..., World]

TELEGRAM_RELEASES = (V3_24, V5_18, V9_6)
MIDDLE_RELEASES = (V4_14, V5_18, V8_2)
EVERY_DAY = ("test_a_fresh_session_by_hand",)
"""What a middle release shows on the days of the others."""
WHOLE = ("test_harness.py", "test_conformance.py")
"""Not for every day anyway, and asked for by name."""
A_DAY = 24 * 3600 * 1000
_OPEN: list[World] = []


def on(*releases: Release) -> pytest.MarkDecorator:
    """For what can be made on these releases only."""
    return pytest.mark.parametrize(
        "release", releases, indirect=True, ids=lambda release: release.version, scope="module"
    )


@pytest.fixture(params=TELEGRAM_RELEASES, ids=lambda release: release.version, scope="module")
def release(request: pytest.FixtureRequest) -> Release:
    found: Release = request.param
    return found


@pytest.fixture(scope="module")
def world(release: Release, make_world: MakeWorld) -> World:
    """One bot; the private chats of all share the main session."""
    return make_world(release, telegram=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-release", action="store_true", help="on every release, not on those of today alone")


def of_today(releases: Sequence[Release]) -> Release:
    day = int(os.environ.get("CI_DAY") or epoch_ms() // A_DAY)
    return releases[day % len(releases)]


def pytest_report_header(config: pytest.Config) -> str | None:
    if config.getoption("--every-release", default=False):
        return None
    telegram, middle = of_today(TELEGRAM_RELEASES), of_today(MIDDLE_RELEASES)
    return f"today: Telegram on OpenClaw {telegram.version}, and {middle.version} whole"


def _has_its_day(path: Path, name: str) -> bool:
    """Whether a test runs today. Its release stands in its name, as 2026.5.18 or as 2026_5_18."""
    by_chat = path.name.startswith("test_telegram")
    if path.name in WHOLE or (not by_chat and name.startswith(EVERY_DAY)):
        return True
    releases = TELEGRAM_RELEASES if by_chat else MIDDLE_RELEASES
    others = [release.version for release in releases if release != of_today(releases)]
    return not any(version in name.replace("_", ".") for version in others)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--every-release", default=False):
        return
    rest = [item for item in items if not _has_its_day(item.path, item.name)]
    if rest:
        config.hook.pytest_deselected(items=rest)
        items[:] = [item for item in items if item not in rest]


def pytest_configure(config: pytest.Config) -> None:
    leave_in_order_when_told()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure comes what the gateways said, what the models were asked, and what was heard."""
    report = yield
    if report.failed:
        report.sections += [(f"world {world.release.version}", world.report()) for world in _OPEN]
    return report


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeWorld]:
    """`make_world(release, **options)`: a world that lives until the module is through. The same call gets the same
    world again; a world of another release is closed first, because two cores carry one gateway, not four."""
    made: dict[str, World] = {}

    def make(release: Release, **options: Any) -> World:
        wanted = f"{release.version} {sorted(options.items())}"
        for name in [name for name in made if not name.startswith(f"{release.version} ")]:
            _close(made.pop(name))
        if wanted not in made:
            made[wanted] = World(release, _folder(tmp_path_factory, release), **options)
            _OPEN.append(made[wanted])
        return made[wanted]

    yield make
    for world in made.values():
        _close(world)


def _close(world: World) -> None:
    _OPEN.remove(world)
    world.close()
    world.gateway.erase()


def _folder(factory: pytest.TempPathFactory, release: Release) -> Path:
    return factory.mktemp(f"openclaw-{release.version}-")
