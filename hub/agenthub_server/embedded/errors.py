"""The one error of the embedded servers.

It is not a `HubError`: it happens before there is a hub, and the command line prints its sentence.
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded servers cannot run here; the message says what to do instead."""
