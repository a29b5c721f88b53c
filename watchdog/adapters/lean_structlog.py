"""structlog without rich.

structlog imports rich, and with it pygments, wherever they are installed, for a console renderer and tracebacks that are
not used here (``logs`` renders its own lines). They are installed here, for the verbs; the daemon, which needs neither,
is 3 to 4 MiB smaller without them. To structlog it looks as if rich were not installed, which it provides for.
"""

from __future__ import annotations

import sys

_hides_rich = "rich" not in sys.modules
if _hides_rich:
    sys.modules["rich"] = None  # type: ignore[assignment] # what `import` takes for "not installed"
try:
    import structlog
finally:
    if _hides_rich:
        del sys.modules["rich"]

__all__ = ["structlog"]
