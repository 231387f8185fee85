"""The checks, one module for each part of the surface; each proves one requirement of the manifest."""

from agenthub_conformance.marks import gathered
from agenthub_conformance.mcp.checks import calls, handshake, stateless, tasks

CHECKS = gathered((handshake, calls, stateless, tasks))
