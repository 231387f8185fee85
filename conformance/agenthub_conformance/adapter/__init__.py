"""The adapter contract: what an adapter must do for a framework's agents to be first-class in the hub.

An adapter's author writes a module with a few agents on scripted models (`Fixtures`), and runs
`agenthub conformance adapter MODULE:OBJECT`, where OBJECT is its `Fixtures`.
"""

from agenthub_conformance.adapter import checks
from agenthub_conformance.adapter.contract import CHECKS, Outcome, run_all
from agenthub_conformance.adapter.fixtures import Fixtures, load
from agenthub_conformance.adapter.scripted import hang, note, play

__all__ = ["CHECKS", "Fixtures", "Outcome", "checks", "hang", "load", "note", "play", "run_all"]
