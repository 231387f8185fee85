"""Completion: the names and ids that fit into the hub's resource templates, of the caller's own."""

from __future__ import annotations

from typing import Final

import mcp_types as types

from agenthub.principal import Principal
from agenthub_mcp.resources import Resources

MOST: Final = 100
"""Values of one answer, by the specification."""


async def complete(
    resources: Resources, who: Principal, only: str | None, params: types.CompleteRequestParams
) -> types.CompleteResult:
    """The values that begin with what is there; none for anything that is not ours."""
    values: list[str] = []
    template = params.ref.uri if isinstance(params.ref, types.ResourceTemplateReference) else ""
    argument = params.argument.name
    if "{" + argument + "}" in template:
        if argument == "name":
            values = [info.name for info in resources.agents(only)]
        elif argument in ("run_id", "thread_id"):
            runs = await resources.recent(who, only)
            ids = (run.run_id if argument == "run_id" else run.thread_id for run in runs)
            values = list(dict.fromkeys(map(str, ids)))
    fitting = [value for value in values if value.startswith(params.argument.value)]
    return types.CompleteResult(
        completion=types.Completion(
            values=fitting[:MOST], total=len(fitting), has_more=len(fitting) > MOST
        )
    )
