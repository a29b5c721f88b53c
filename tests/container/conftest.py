"""The image, made once for all of these tests; and ``make container ARGS=--record``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness.cells import Fleet, NoContainers
from tests.e2e.harness.install import container_runtime

from .pod import build
from .trial import Clock


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="keep what was measured, and write docs/container.md anew")


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    container_runtime(needs_names=True)
    try:
        made = Fleet(tmp_path_factory.mktemp("containers") / "fleet")
    except NoContainers as problem:
        pytest.skip(str(problem))
    with made:
        yield made


@pytest.fixture(scope="session")
def image(fleet: Fleet) -> Clock:
    """The image is built; how long it took."""
    clock = Clock()
    build(fleet)
    clock.took("`podman build …`", "the image")
    return clock
