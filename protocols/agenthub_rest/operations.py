"""The operations of the REST surface: what each route takes and gives, in a sentence.

A test holds this table and the routes together: none is undescribed, and none described is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel

from agenthub_rest import answers as a
from agenthub_rest import assistant_bodies, bodies, cron_bodies, protocol_bodies, store_bodies
from agenthub_rest import thread_bodies as threads

Of: TypeAlias = (
    type[BaseModel] | Literal["any", "count", "events", "object", "list", "nothing", "page"]
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `query` maps names to JSON schemas; `many`: a page of answers."""

    tag: str
    summary: str
    body: type[BaseModel] | None = None
    answer: Of = "object"
    many: bool = False
    status: int = 200
    query: Mapping[str, Any] | None = None


TEXT: Final = {"type": "string"}
FLAG: Final = {"type": "boolean", "default": False}
NUMBER: Final = {"type": "integer", "minimum": 0}
STATUS: Final = {
    "enum": ["pending", "running", "success", "error", "timeout", "interrupted"],
}
PAGE: Final = {"limit": {**NUMBER, "default": 10}, "offset": {**NUMBER, "default": 0}}
ACTION: Final = {"action": {"enum": ["interrupt", "rollback"], "default": "interrupt"}}
LEAVING: Final = {"cancel_on_disconnect": FLAG}

ASSISTANTS: Final = "Assistants"
THREADS: Final = "Threads"
RUNS: Final = "Runs"
STATELESS: Final = "Stateless runs"
CRONS: Final = "Crons"
STORE: Final = "Store"
STREAMS: Final = "Event streams"
SYSTEM: Final = "System"

_thread = "/threads/{thread_id}"
_runs = _thread + "/runs"
_run = _runs + "/{run_id}"
_assistant = "/assistants/{assistant_id}"
_cron = "/runs/crons/{cron_id}"
_delivery = "/deliveries/{delivery_id}"

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/assistants"): Operation(
        ASSISTANTS,
        "Make an assistant: a configuration of an agent",
        assistant_bodies.AssistantCreate,
        a.AssistantAnswer,
    ),
    ("POST", "/assistants/search"): Operation(
        ASSISTANTS,
        "Search assistants",
        assistant_bodies.AssistantSearch,
        a.AssistantAnswer,
        many=True,
    ),
    ("POST", "/assistants/count"): Operation(
        ASSISTANTS, "Count assistants", assistant_bodies.AssistantCount, "count"
    ),
    ("GET", _assistant): Operation(ASSISTANTS, "Read an assistant", answer=a.AssistantAnswer),
    ("PATCH", _assistant): Operation(
        ASSISTANTS,
        "Make a new version of an assistant",
        assistant_bodies.AssistantPatch,
        a.AssistantAnswer,
    ),
    ("DELETE", _assistant): Operation(
        ASSISTANTS,
        "Delete an assistant and cancel its runs",
        answer="nothing",
        status=204,
        query={"delete_threads": FLAG},
    ),
    ("GET", _assistant + "/schemas"): Operation(
        ASSISTANTS, "Read the schemas of its agent", answer=a.SchemasAnswer
    ),
    ("GET", _assistant + "/graph"): Operation(
        ASSISTANTS, "Read the drawing of its agent", query={"xray": TEXT}
    ),
    ("GET", _assistant + "/subgraphs"): Operation(
        ASSISTANTS, "Read the schemas of its agent's subgraphs", query={"recurse": FLAG}
    ),
    ("GET", _assistant + "/subgraphs/{namespace}"): Operation(
        ASSISTANTS, "Read the schemas of one subgraph", query={"recurse": FLAG}
    ),
    ("POST", _assistant + "/versions"): Operation(
        ASSISTANTS,
        "List its versions, newest first",
        assistant_bodies.AssistantVersions,
        a.AssistantAnswer,
        many=True,
    ),
    ("POST", _assistant + "/latest"): Operation(
        ASSISTANTS,
        "Make a version the latest",
        assistant_bodies.AssistantLatest,
        a.AssistantAnswer,
    ),
    ("POST", "/threads"): Operation(
        THREADS, "Make a thread, with a history if given", threads.ThreadCreate, a.ThreadAnswer
    ),
    ("POST", "/threads/search"): Operation(
        THREADS, "Search threads", threads.ThreadSearch, a.ThreadAnswer, many=True
    ),
    ("POST", "/threads/count"): Operation(THREADS, "Count threads", threads.ThreadCount, "count"),
    ("POST", "/threads/prune"): Operation(
        THREADS,
        "Delete threads, or all but their latest state",
        threads.ThreadPrune,
        a.PrunedAnswer,
    ),
    ("GET", _thread): Operation(
        THREADS, "Read a thread", answer=a.ThreadAnswer, query={"include": TEXT}
    ),
    ("PATCH", _thread): Operation(
        THREADS, "Change a thread's metadata or time to live", threads.ThreadPatch, a.ThreadAnswer
    ),
    ("DELETE", _thread): Operation(
        THREADS, "Delete a thread with everything on it", answer="nothing", status=204
    ),
    ("POST", _thread + "/copy"): Operation(THREADS, "Copy a thread", answer=a.ThreadAnswer),
    ("GET", _thread + "/storage"): Operation(
        THREADS, "Read what a thread takes", answer=a.StorageAnswer
    ),
    ("GET", _thread + "/state"): Operation(
        THREADS, "Read the state", answer=a.StateAnswer, query={"subgraphs": FLAG}
    ),
    ("POST", _thread + "/state"): Operation(
        THREADS, "Write to the state as a node", threads.StateWrite, a.StateWriteAnswer
    ),
    ("POST", _thread + "/state/checkpoint"): Operation(
        THREADS, "Read the state at a checkpoint", threads.StateAt, a.StateAnswer
    ),
    ("GET", _thread + "/state/{checkpoint_id}"): Operation(
        THREADS,
        "Read the state at a checkpoint by its id",
        answer=a.StateAnswer,
        query={"subgraphs": FLAG},
    ),
    ("GET", _thread + "/history"): Operation(
        THREADS,
        "Read past states, newest first",
        answer=a.StateAnswer,
        many=True,
        query={"limit": PAGE["limit"], "before": TEXT},
    ),
    ("POST", _thread + "/history"): Operation(
        THREADS, "Search past states, newest first", threads.History, a.StateAnswer, many=True
    ),
    ("GET", _thread + "/stream"): Operation(
        STREAMS,
        "Follow all runs of a thread",
        answer="events",
        query={"stream_mode": TEXT, "stream_modes": TEXT},
    ),
    ("POST", _thread + "/stream/events"): Operation(
        STREAMS,
        "Follow a thread by the event-streaming protocol",
        protocol_bodies.Subscribe,
        "events",
    ),
    ("POST", _thread + "/commands"): Operation(
        STREAMS, "Send a command of the event-streaming protocol", protocol_bodies.Command
    ),
    ("GET", _runs): Operation(
        RUNS,
        "List the runs of a thread, newest first",
        answer=a.RunAnswer,
        many=True,
        query={**PAGE, "status": STATUS, "select": TEXT},
    ),
    ("POST", _runs): Operation(RUNS, "Start a run", bodies.RunCreate, a.RunAnswer),
    ("POST", _runs + "/wait"): Operation(
        RUNS, "Start a run and wait for its values", bodies.RunCreate, "any"
    ),
    ("POST", _runs + "/stream"): Operation(
        RUNS, "Start a run and follow it", bodies.RunCreate, "events"
    ),
    ("GET", _run): Operation(RUNS, "Read a run", answer=a.RunAnswer),
    ("DELETE", _run): Operation(RUNS, "Delete a run that has ended", answer="nothing", status=204),
    ("GET", _run + "/join"): Operation(
        RUNS, "Wait for a run's values", answer="any", query=LEAVING
    ),
    ("GET", _run + "/stream"): Operation(
        RUNS,
        "Follow a run from any event on",
        answer="events",
        query={"stream_mode": TEXT, **LEAVING},
    ),
    ("POST", _run + "/cancel"): Operation(
        RUNS, "Cancel a run", answer="any", status=202, query={"wait": FLAG, **ACTION}
    ),
    ("POST", "/runs"): Operation(
        STATELESS, "Start a run on a thread of its own", bodies.RunCreate, a.RunAnswer
    ),
    ("POST", "/runs/wait"): Operation(
        STATELESS, "Start a run and wait for its values", bodies.RunCreate, "any"
    ),
    ("POST", "/runs/stream"): Operation(
        STATELESS, "Start a run and follow it", bodies.RunCreate, "events"
    ),
    ("POST", "/runs/batch"): Operation(
        STATELESS, "Start several runs", bodies.RunBatch, a.RunAnswer, many=True
    ),
    ("POST", "/runs/cancel"): Operation(
        RUNS, "Cancel several runs", bodies.RunsCancel, "nothing", status=204, query=ACTION
    ),
    ("POST", "/runs/search"): Operation(
        RUNS, "Search runs across threads", bodies.RunSearch, a.RunAnswer, many=True
    ),
    ("POST", "/runs/count"): Operation(
        RUNS, "Count runs across threads", bodies.RunSearch, "count"
    ),
    ("GET", "/runs/{run_id}"): Operation(RUNS, "Read a run by its id alone", answer=a.RunAnswer),
    ("POST", "/runs/crons"): Operation(
        CRONS, "Schedule runs, each on a thread of its own", cron_bodies.CronCreate
    ),
    ("POST", _runs + "/crons"): Operation(
        CRONS, "Schedule runs on a thread", cron_bodies.CronCreate
    ),
    ("POST", "/runs/crons/search"): Operation(
        CRONS, "Search crons", cron_bodies.CronSearch, many=True
    ),
    ("POST", "/runs/crons/count"): Operation(CRONS, "Count crons", cron_bodies.CronCount, "count"),
    ("GET", _cron): Operation(CRONS, "Read a cron"),
    ("PATCH", _cron): Operation(CRONS, "Change a cron", cron_bodies.CronPatch),
    ("DELETE", _cron): Operation(CRONS, "Delete a cron", answer="nothing", status=204),
    ("POST", _cron + "/run"): Operation(CRONS, "Run a cron now", answer="any"),
    ("GET", _cron + "/history"): Operation(
        CRONS, "List a cron's firings, newest first", many=True, query=PAGE
    ),
    ("GET", "/deliveries"): Operation(
        "Deliveries",
        "List outbound calls",
        many=True,
        query={**PAGE, "state": TEXT, "run_id": TEXT},
    ),
    ("GET", _delivery): Operation("Deliveries", "Read an outbound call"),
    ("POST", _delivery + "/redrive"): Operation("Deliveries", "Send a dead call again"),
    ("PUT", "/store/items"): Operation(
        STORE, "Keep an item", store_bodies.ItemPut, "nothing", status=204
    ),
    ("GET", "/store/items"): Operation(
        STORE,
        "Read an item; null when there is none",
        answer="any",
        query={"key": TEXT, "namespace": TEXT, "refresh_ttl": FLAG},
    ),
    ("DELETE", "/store/items"): Operation(
        STORE, "Delete an item", store_bodies.ItemDelete, "nothing", status=204
    ),
    ("POST", "/store/items/batch"): Operation(
        STORE, "Change several items together", store_bodies.ItemBatch, "nothing", status=204
    ),
    ("POST", "/store/items/search"): Operation(
        STORE, "Search items", store_bodies.ItemSearch, a.FoundItemsAnswer
    ),
    ("POST", "/store/namespaces"): Operation(
        STORE, "List namespaces", store_bodies.NamespaceSearch, a.NamespacesAnswer
    ),
    ("GET", "/ok"): Operation(SYSTEM, "Whether the server is well", query={"check_db": FLAG}),
    ("GET", "/info"): Operation(SYSTEM, "What the server is"),
    ("GET", "/openapi.json"): Operation(SYSTEM, "This description"),
    ("GET", "/docs"): Operation(SYSTEM, "This description, to read", answer="page"),
}
