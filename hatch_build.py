"""What a package says of itself that only its release knows: where the repository is.

``OPENCLAW_WATCHDOG_REPOSITORY``, such as ``https://HOST/OWNER/NAME``, at build time: then the project has its addresses, and
the README's links and pictures work outside the repository. Without it they are left as they are. A wheel that is built
from an sdist takes both from there.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "OPENCLAW_WATCHDOG_REPOSITORY"
_RELATIVE = re.compile(r"(?P<picture>!?)(?P<shown>\[[^\]]*\])\((?![a-z]+:|#)(?P<path>[^)\s]+)\)")


class Addresses(MetadataHookInterface):
    """``project.readme`` and ``project.urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text("utf-8")
        if repository := os.environ.get(VARIABLE, "").rstrip("/"):
            at = f"v{metadata['version']}"
            files = f"{repository}/blob/{at}"
            text = absolute(text, files, f"{repository}/raw/{at}")
            addresses = {
                "Changelog": f"{files}/CHANGELOG.md",
                "Documentation": f"{files}/docs/README.md",
                "Issues": f"{repository}/issues",
                "Repository": repository,
                "Runbooks": f"{files}/docs/runbooks.md",
            }
            metadata.setdefault("urls", addresses)
        metadata.setdefault("urls", {})
        metadata.setdefault("readme", {"content-type": "text/markdown", "text": text})


def absolute(text: str, files: str, pictures: str) -> str:
    """Markdown whose links into the repository lead to ``files``, and whose pictures come from ``pictures``."""
    return _RELATIVE.sub(
        lambda found: f"{found['picture']}{found['shown']}({pictures if found['picture'] else files}/{found['path']})",
        text,
    )
