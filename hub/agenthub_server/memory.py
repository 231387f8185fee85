"""The long-term memory of a server: it embeds what is put and looked for over its own surfaces.

The function that a project names is code of both sides: of the workers, and of the server that is started
with the project. Where it cannot be loaded here, agents still search by meaning, and the surfaces say why
they cannot.
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta

from agenthub.memory import Memory
from agenthub.project import Project
from agenthub_langgraph.embedding import Embedding, index_of
from agenthub_postgres.items import ensure_index

log = logging.getLogger(__name__)


async def memory_of(project: Project | None, dsn: str) -> Memory:
    """What the project says, made ready.

    Raises:
        Invalid, Unavailable: the database cannot have such an index.
    """
    if project is None:
        return Memory()
    minutes = (project.ttl or {}).get("default_ttl")
    ttl = None if minutes is None else timedelta(minutes=minutes)
    if str(project.root) not in sys.path:
        sys.path.insert(0, str(project.root))
    try:
        index = index_of(project)
        embedder = None if index is None else Embedding(index)
    except Exception as error:  # whatever its code raises
        log.warning("store.index.embed cannot be loaded by the server: %s", error)
        return Memory(default_ttl=ttl)
    if index is not None:
        await ensure_index(dsn, index.get("dims", 0))
    return Memory(embedder=embedder, default_ttl=ttl)
