"""Embedding items for semantic search, as LangGraph's stores do it: by field, all texts in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, ensure_embeddings, get_text_at_path, tokenize_path

from agenthub.importing import module_of
from agenthub.memory import Indexed, Vectors
from agenthub.project import Project

WHOLE = "$"


class Embedding:
    """`agenthub.memory.Embedder` over LangGraph's index configuration."""

    def __init__(self, index: IndexConfig) -> None:
        self.embeddings: Embeddings = ensure_embeddings(index.get("embed"))
        self.fields: Sequence[str] = index.get("fields") or [WHOLE]

    async def query(self, text: str) -> Sequence[float]:
        """See the protocol."""
        return await self.embeddings.aembed_query(text)

    async def vectors(
        self, items: Sequence[tuple[Mapping[str, Any] | None, Indexed]]
    ) -> list[Vectors]:
        """See the protocol."""
        texts: list[str] = []
        places: list[tuple[int, str]] = []
        for at, (value, index) in enumerate(items):
            for field, content in self._texts(value, index):
                places.append((at, field))
                texts.append(content)
        embedded = await self.embeddings.aembed_documents(texts) if texts else []
        vectors: list[dict[str, Sequence[float]]] = [{} for _ in items]
        for (at, field), vector in zip(places, embedded, strict=True):
            vectors[at][field] = vector
        return list(vectors)

    def _texts(self, value: Mapping[str, Any] | None, index: Indexed) -> Iterator[tuple[str, str]]:
        if value is None or index is False:
            return
        for path in self.fields if index is None else index:
            tokens = path if path == WHOLE else tokenize_path(path)
            found = get_text_at_path(value, tokens)
            for i, content in enumerate(found):
                yield (path if len(found) == 1 else f"{path}.{i}"), content


def index_of(project: Project) -> IndexConfig | None:
    """The project's index, its function imported. Raises whatever its code raises."""
    if project.index is None:
        return None
    index = dict(project.index)
    file, _, name = str(index["embed"]).rpartition(":")
    if file.endswith(".py"):
        index["embed"] = getattr(module_of(file), name)
    return cast("IndexConfig", index)
