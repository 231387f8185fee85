"""The adapter for Google's Agent Development Kit: agents, workflows, apps and runners."""

from __future__ import annotations
