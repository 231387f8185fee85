"""The checks, one module for each part of the surface; each proves one requirement of the manifest."""

from agenthub_conformance.marks import gathered
from agenthub_conformance.rest.checks import (
    assistants,
    crons,
    errors,
    extensions,
    multitask,
    runs,
    stateless,
    states,
    store,
    streams,
    threads,
)

CHECKS = gathered(
    (
        *(errors, assistants, threads, states, runs, multitask, stateless),
        *(streams, crons, store, extensions),
    )
)
