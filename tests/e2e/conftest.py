"""Worlds for the e2e tests: made once per module, shown when a test fails, and never left running."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.ending import leave_in_order_when_told
from tests.e2e.harness.releases import Release
from tests.e2e.harness.world import World

MakeWorld = Callable[..., World]

_OPEN: list[World] = []


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
