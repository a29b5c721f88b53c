"""Records that a test may write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.figures import record


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records and document of this test's own, as they are in the repository."""
    for name, each in record.load().items():
        (tmp_path / f"{name}.json").write_text(record.text_of(each), "utf-8")
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    monkeypatch.setattr(record, "DOCUMENT", tmp_path / "evidence.md")
    monkeypatch.setattr(record, "FILLED", [Path(shutil.copy(path, tmp_path)) for path in record.FILLED])
    return tmp_path
