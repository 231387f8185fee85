"""The A2A 1.0 surface: every agent as an A2A agent over the hub's durable tasks."""

import os

# Before anything imports gRPC, which reads it once: by default it carries its threads over into whatever this
# process forks, and while it is busy nearly half of the programs that are started so die before they begin.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from agenthub_a2a.signatures import read_key
from agenthub_a2a.surface import A2A, OverGrpc

__all__ = ["A2A", "OverGrpc", "read_key"]
