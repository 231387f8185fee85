"""What the REST surface must do: every behaviour with an id, a source and a sentence.

Checks carry these ids (`@requirement("threads:create")`); a test holds the two together. An `extension`
is a behaviour of Agent Hub's own, which other servers may lack without failing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

REFERENCE: Final = "https://docs.langchain.com/langsmith/server-api-ref"
SDK: Final = "https://reference.langchain.com/python/langgraph-sdk"
DOUBLE_TEXTING: Final = "https://docs.langchain.com/langsmith/double-texting"
OURS: Final = "Agent Hub"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One behaviour. `agents` are those of `fixtures/rest_agents.py` that its check runs."""

    id: str
    behaviour: str
    source: str
    agents: tuple[str, ...] = ()

    @property
    def extension(self) -> bool:
        """Whether the original does not promise it."""
        return self.source == OURS


def _table(source: str, *rows: tuple[str, str, str]) -> Iterable[Requirement]:
    """Requirements of one source: id, behaviour, and the agents as words."""
    for id_, behaviour, agents in rows:
        yield Requirement(id_, behaviour, source, tuple(agents.split()))


_ASSISTANTS = _table(
    f"{REFERENCE}#assistants",
    (
        "assistants:system",
        "Every graph has an assistant of its own, with an id that follows from its name.",
        "plus",
    ),
    (
        "assistants:create",
        "An assistant is made with a configuration, a name and metadata, and is read back.",
        "plus",
    ),
    (
        "assistants:create:defaults",
        "An assistant without a name is untitled, at version 1.",
        "plus",
    ),
    (
        "assistants:create:taken",
        "An id that is taken is a conflict, unless the client says do nothing.",
        "plus",
    ),
    (
        "assistants:create:unknown-graph",
        "An assistant of a graph that is not there is refused as not found.",
        "",
    ),
    (
        "assistants:create:malformed",
        "A creation without a graph, or with an id that is none, is refused.",
        "",
    ),
    (
        "assistants:patch",
        "A change makes a new version, merges metadata and becomes the latest.",
        "plus",
    ),
    ("assistants:versions", "Versions are listed with the newest first.", "plus"),
    ("assistants:latest", "An old version can be made the latest again.", "plus"),
    (
        "assistants:search",
        "Assistants are found by graph, metadata and name, sorted and in pages.",
        "plus",
    ),
    ("assistants:search:select", "A search shows the fields that were selected.", "plus"),
    ("assistants:count", "Assistants are counted.", "plus"),
    ("assistants:delete", "A deleted assistant is not found any more.", "plus"),
    ("assistants:schemas", "The schemas of an assistant's graph are JSON schemas.", "plus"),
    ("assistants:graph", "The drawing of an assistant's graph has nodes and edges.", "two_steps"),
    ("assistants:subgraphs", "The schemas of subgraphs are told by namespace.", "nested"),
    ("assistants:missing", "An assistant that is not there is not found, by every route.", ""),
    ("assistants:malformed", "A page of no size, or an unknown order, is refused.", ""),
)

_THREADS = _table(
    f"{REFERENCE}#threads",
    ("threads:create", "A new thread is idle and has the metadata that it was given.", ""),
    (
        "threads:create:given-id",
        "A client may choose a thread's id; a second creation is a conflict, or nothing.",
        "",
    ),
    ("threads:create:supersteps", "A thread can be made with a history.", "two_steps"),
    ("threads:create:ttl", "A thread can be given a time to live, which is shown on request.", ""),
    (
        "threads:create:malformed",
        "An id that is none, and fields of a wrong type, are refused.",
        "",
    ),
    (
        "threads:get",
        "A thread is read with its values, status and the graph that it belongs to.",
        "plus",
    ),
    ("threads:patch", "Metadata is merged; who prefers little gets no body.", ""),
    (
        "threads:search",
        "Threads are found by metadata, values, status and ids, sorted and in pages.",
        "plus",
    ),
    (
        "threads:search:select",
        "A search shows the fields that were selected, and values at paths.",
        "plus",
    ),
    ("threads:search:malformed", "A page of no size, an unknown order or status is refused.", ""),
    ("threads:count", "Threads are counted.", "plus"),
    ("threads:copy", "A copy is a thread of its own with the same state.", "plus"),
    ("threads:prune", "Several threads are deleted together, and it is told how many.", ""),
    ("threads:storage", "What a thread takes is told in bytes.", "plus"),
    ("threads:delete", "A deleted thread is not found any more.", "plus"),
    ("threads:missing", "A thread that is not there is not found, by every route.", "plus"),
    (
        "threads:interrupted",
        "A thread with an open question is interrupted and shows it by its task.",
        "ask_both",
    ),
    ("threads:error", "A thread whose run failed is in error, and tells it.", "fail_late"),
    ("threads:busy", "A thread with a running run is busy.", "wait_for_ever"),
)

_STATES = _table(
    f"{REFERENCE}#threads",
    (
        "states:get",
        "The state has values, next nodes, tasks, metadata and its checkpoint.",
        "two_steps",
    ),
    ("states:get:empty", "A thread that never ran has an empty state.", ""),
    (
        "states:get:interrupted",
        "The state of a paused thread shows its tasks and their questions.",
        "ask_both",
    ),
    ("states:get:subgraphs", "The state of a subgraph is shown on request.", "questions_inside"),
    (
        "states:get:failed",
        "The state behind a failure shows the task that failed and its error.",
        "fail_late",
    ),
    (
        "states:get:at",
        "The state can be read at every checkpoint, by its id or its checkpoint.",
        "two_steps",
    ),
    ("states:get:unknown", "A checkpoint that is not there shows nothing.", "two_steps"),
    ("states:update", "A write to the state makes a checkpoint, as a node if given.", "two_steps"),
    ("states:update:at", "A write at an old checkpoint makes a fork.", "two_steps"),
    ("states:update:bare", "A write to a thread without a graph is refused.", ""),
    (
        "states:update:busy",
        "A write to a thread with a running run is a conflict.",
        "wait_for_ever",
    ),
    ("states:update:malformed", "A node that is not there is refused.", "two_steps"),
    ("states:history", "Past states are listed with the newest first, in pages.", "two_steps"),
    ("states:history:get", "Past states are listed with GET as well.", "two_steps"),
    ("states:history:empty", "A thread that never ran has no past.", ""),
    ("states:travel", "A run can start at an old checkpoint.", "two_steps"),
)

_RUNS = _table(
    f"{REFERENCE}#thread-runs",
    ("runs:create", "A run is made pending, told where it is, and has a result to join.", "plus"),
    ("runs:wait", "Waiting for a run answers with its last values and says where it is.", "plus"),
    ("runs:wait:error", "Waiting for a run that fails answers with its error.", "fail"),
    ("runs:wait:interrupt", "Waiting for a run that asks answers with its questions.", "ask"),
    ("runs:get", "A run is read by its thread and id.", "plus"),
    ("runs:list", "The runs of a thread are listed, by status and with selected fields.", "plus"),
    ("runs:delete", "A deleted run is not found any more.", "plus"),
    ("runs:missing", "A run that is not there is not found.", "plus"),
    (
        "runs:missing:thread",
        "A run on a thread that is not there is refused, or makes it on request.",
        "plus",
    ),
    ("runs:missing:assistant", "A run of an assistant that is not there is refused.", ""),
    (
        "runs:malformed",
        "A run without an assistant, or with fields of a wrong type, is refused.",
        "plus",
    ),
    ("runs:cancel", "A cancelled run is interrupted, and its thread too.", "wait_for_ever"),
    ("runs:cancel:rollback", "What a run did that is rolled back is gone.", "hold"),
    ("runs:cancel:ended", "A run that has ended cannot be cancelled.", "plus"),
    ("runs:cancel:many", "Runs of a thread are cancelled together.", "wait_for_ever"),
    ("runs:cancel:malformed", "An unknown action, or a choice of no runs, is refused.", "plus"),
    (
        "runs:resume",
        "An answer resumes a run, and goes to its question by id if given.",
        "ask ask_both",
    ),
    ("runs:command:update", "A command updates the state and goes to a node.", "two_steps"),
    ("runs:breakpoints", "A run stops before and after nodes, and goes on.", "two_steps"),
    ("runs:settings", "A graph sees its configuration, and its context.", "look"),
    ("runs:settings:both", "Configuration and context at once are refused.", "look"),
    ("runs:metadata", "A run keeps its metadata.", "plus"),
    ("runs:later", "A run can start later; until then it is pending and can be cancelled.", "plus"),
    ("runs:values:last", "Runs on one thread build on each other's state.", "two_steps"),
)

_MULTITASK = _table(
    DOUBLE_TEXTING,
    ("multitask:reject", "A second run that may not wait is a conflict.", "hold"),
    ("multitask:enqueue", "A second run waits for the first.", "hold"),
    ("multitask:interrupt", "A second run may interrupt the first.", "hold"),
    ("multitask:rollback", "A second run may undo the first.", "hold"),
)

_STATELESS = _table(
    f"{REFERENCE}#stateless-runs",
    ("stateless:create", "A run without a thread is made.", "plus"),
    ("stateless:wait", "A run without a thread answers with its values.", "plus"),
    ("stateless:wait:error", "A run without a thread that fails answers with its error.", "fail"),
    ("stateless:stream", "A run without a thread is streamed.", "plus"),
    ("stateless:keep", "The thread of a run without one is kept on request.", "plus"),
    ("stateless:batch", "Several runs are made together.", "plus"),
    ("stateless:malformed", "An answer without a thread, and an empty batch, are refused.", "plus"),
)

_STREAMS = _table(
    f"{REFERENCE}#thread-runs",
    ("streams:values", "A stream tells the run and shows the state after every step.", "two_steps"),
    ("streams:updates", "Updates are shown by node.", "two_steps"),
    ("streams:messages", "Messages grow: metadata, partial, complete.", "chat"),
    ("streams:messages-tuple", "Messages are shown in pieces with their metadata.", "chat"),
    ("streams:custom", "What an agent writes is shown.", "count"),
    ("streams:tasks", "Tasks are shown when they begin and end.", "two_steps"),
    ("streams:checkpoints", "Checkpoints are shown.", "two_steps"),
    ("streams:debug", "Debug records are shown.", "two_steps"),
    ("streams:events", "Events of the callbacks are shown.", "two_steps"),
    ("streams:several", "Several modes are shown together.", "two_steps"),
    ("streams:subgraphs", "Events of subgraphs have their namespace in the name.", "nested"),
    ("streams:error", "A failure is an event.", "fail"),
    ("streams:interrupt", "A question is an update and stands in the values.", "ask_both"),
    ("streams:malformed", "An unknown mode is refused.", "plus"),
    (
        "streams:join",
        "A resumable stream is joined after its end, from its beginning.",
        "two_steps",
    ),
    ("streams:join:after", "A resumable stream is joined behind an event.", "two_steps"),
    ("streams:join:live", "A running run's stream is joined.", "wait_for_ever"),
    ("streams:thread", "The runs of a thread are followed together.", "plus"),
)

_CRONS = _table(
    f"{REFERENCE}#crons",
    ("crons:create", "A cron is made and tells when it fires next.", "plus"),
    ("crons:create:thread", "A cron is made on a thread.", "plus"),
    ("crons:get", "A cron is read, changed and deleted.", "plus"),
    ("crons:search", "Crons are found and counted.", "plus"),
    (
        "crons:malformed",
        "A schedule that is none, and a time zone that is none, are refused.",
        "plus",
    ),
    ("crons:missing", "A cron that is not there, or of what is not there, is not found.", "plus"),
)

_STORE = _table(
    f"{REFERENCE}#store",
    ("store:put", "An item is kept, read, replaced and deleted.", ""),
    ("store:absent", "An item that is not there is a null, and deleting it is no failure.", ""),
    ("store:search", "Items are found below a namespace, by their values, in pages.", ""),
    ("store:namespaces", "Namespaces are listed by prefix, suffix and depth.", ""),
    ("store:malformed", "Labels that are none, and bodies without a key, are refused.", ""),
)

_SYSTEM = _table(
    f"{REFERENCE}#system",
    ("system:ok", "A server that is well says so.", ""),
    ("system:info", "A server tells its version and what it can do.", ""),
    ("system:openapi", "A server describes itself.", ""),
    ("errors:json", "A body that is not JSON is refused.", ""),
    ("errors:body", "A body that is not an object is refused.", ""),
    ("errors:path", "A path that is not there is not found.", ""),
    ("errors:method", "A method that a path does not take is refused.", ""),
    ("errors:ids", "Ids that are none are refused, by every route.", ""),
)

_EXTENSIONS = _table(
    OURS,
    ("ours:end", "A stream ends with how its run ended.", "plus"),
    ("ours:idempotency", "The same creation with the same key runs once.", "plus"),
    ("ours:search", "Runs are found across threads, and read by their id alone.", "plus"),
    ("ours:output", "A run tells its output, its error and its questions.", "plus ask fail"),
    (
        "ours:strict-resume",
        "An answer to an unknown question is refused and the open ones are named.",
        "ask",
    ),
    ("ours:resume-anywhere", "Every stream can be joined behind any event.", "two_steps"),
    ("ours:fork", "A second run may run at once, on a copy of the thread.", "hold"),
    ("ours:compare-and-set", "An item is replaced only at the version that the client read.", ""),
    ("ours:codes", "A refusal has a code that stays the same.", ""),
    ("ours:names", "The name of an assistant's graph is taken wherever its id is.", "plus"),
)

REQUIREMENTS: Final[Mapping[str, Requirement]] = {
    one.id: one
    for table in (
        *(_SYSTEM, _ASSISTANTS, _THREADS, _STATES, _RUNS, _MULTITASK, _STATELESS),
        *(_STREAMS, _CRONS, _STORE, _EXTENSIONS),
    )
    for one in table
}
