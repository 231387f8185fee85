"""A refund clerk in ADK: it looks an order up, and asks a person before it pays.

Offline and without a key: the model is scripted. `AGENTHUB_EXAMPLE_MODEL=gemini` takes a real one, with
GOOGLE_API_KEY.
"""

from __future__ import annotations

import os

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, Gemini
from google.adk.tools import FunctionTool, ToolContext
from scripted import ScriptedModel

ORDERS = {"A-17": {"item": "kettle", "price": 42, "delivered": "broken"}}


async def find_order(number: str, tool_context: ToolContext) -> dict[str, object]:
    """Finds an order by its number, such as A-17."""
    # the user's other threads know it, too
    tool_context.state["user:last_order"] = number
    return dict(ORDERS.get(number) or {"error": f"there is no order {number!r}"})


async def refund(number: str, amount: int) -> str:
    """Pays an order's price back, in EUR."""
    return f"{amount} EUR for order {number} are on their way"


def model() -> BaseLlm:
    """The model that AGENTHUB_EXAMPLE_MODEL names."""
    match os.environ.get("AGENTHUB_EXAMPLE_MODEL", "scripted"):
        case "scripted":
            return ScriptedModel(model="scripted")
        case "gemini":
            return Gemini(model=os.environ.get("GEMINI_MODEL", "gemini-2.5-flash"))
        case other:
            raise ValueError(f"AGENTHUB_EXAMPLE_MODEL is {other!r}: take scripted or gemini")


refunds = LlmAgent(
    name="refunds",
    description="Handles refunds, and asks a person before it pays.",
    instruction="You are a refund clerk. Find the order, refund its price, and be brief. "
    "The last order that the user asked for: {user:last_order?}",
    model=model(),
    tools=[find_order, FunctionTool(refund, require_confirmation=True)],
)
