"""Worlds for the e2e tests: made once per module, shown when a test fails, and never left running.

What people do over Telegram is long, so each day has one release of it; `--every-release` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.conditions import epoch_ms
from tests.e2e.harness.releases import V3_24, V5_18, V9_6, Release
from tests.e2e.harness.shutdown import leave_in_order_when_told
from tests.e2e.harness.world import World

MakeWorld = Callable[..., World]

TELEGRAM_RELEASES = (V3_24, V5_18, V9_6)
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
    parser.addoption("--every-release", action="store_true", help="Telegram on all its releases, not on today's alone")


def of_today() -> Release:
    return TELEGRAM_RELEASES[epoch_ms() // A_DAY % len(TELEGRAM_RELEASES)]


def pytest_report_header(config: pytest.Config) -> str | None:
    return (
        None if config.getoption("--every-release", default=False) else f"Telegram today: OpenClaw {of_today().version}"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--every-release", default=False):
        return
    others = [release.version for release in TELEGRAM_RELEASES if release != of_today()]
    rest = [
        item
        for item in items
        if item.path.name.startswith("test_telegram") and any(version in item.name for version in others)
    ]
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
