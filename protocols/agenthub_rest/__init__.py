"""The REST Runs API, as the official `langgraph-sdk` clients call it."""

from agenthub_rest.errors import http_error, hub_error, unexpected
from agenthub_rest.surface import Rest

__all__ = ["Rest", "http_error", "hub_error", "unexpected"]
