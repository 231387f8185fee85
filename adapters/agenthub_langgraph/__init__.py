"""The engine: runs LangGraph graphs, entrypoints and agents under a lease.

Strict msgpack is decided when langgraph is first imported and cannot be changed afterwards; without it
a checkpoint can name any callable to be run on load. So it is set here, before any import of langgraph,
and an interpreter in which langgraph came first without it is refused.
"""

from __future__ import annotations

import os
import sys

_STRICT = "LANGGRAPH_STRICT_MSGPACK"


def require_strict_msgpack() -> None:
    """Set strict msgpack for this process; called when this package is imported.

    Raises:
        ImportError: langgraph was imported before, without it.
    """
    if os.environ.get(_STRICT, "").lower() in ("1", "true", "yes"):
        return
    if "langgraph.checkpoint.serde._msgpack" in sys.modules:
        raise ImportError(
            f"langgraph was imported before agenthub_langgraph: set {_STRICT}=true in the environment"
        )
    os.environ[_STRICT] = "true"


require_strict_msgpack()
