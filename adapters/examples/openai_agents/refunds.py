"""A refund clerk in the OpenAI Agents SDK: it looks an order up, and asks a person before it pays.

Offline and without a key: the model is scripted. `AGENTHUB_EXAMPLE_MODEL=openai` takes a real one, with
OPENAI_API_KEY; `openai-chat` one of any provider that speaks OpenAI's chat completions, at OPENAI_BASE_URL.
"""

from __future__ import annotations

import os

from agents import Agent, Model, ModelSettings, function_tool, set_default_openai_api
from scripted import ScriptedModel

ORDERS = {"A-17": {"item": "kettle", "price": 42, "delivered": "broken"}}


@function_tool
async def find_order(number: str) -> str:
    """Finds an order by its number, such as A-17."""
    order = ORDERS.get(number)
    if order is None:
        return f"there is no order {number!r}"
    return f"a {order['item']} for {order['price']} EUR, delivered {order['delivered']}"


@function_tool(needs_approval=True)
async def refund(number: str, amount: int) -> str:
    """Pays an order's price back, in EUR."""
    return f"{amount} EUR for order {number} are on their way"


def model() -> Model | str:
    """The model that AGENTHUB_EXAMPLE_MODEL names."""
    match os.environ.get("AGENTHUB_EXAMPLE_MODEL", "scripted"):
        case "scripted":
            return ScriptedModel()
        case "openai" | "openai-chat" as api:
            if api == "openai-chat":
                set_default_openai_api("chat_completions")
            return os.environ.get("OPENAI_MODEL", "gpt-4.1-mini")
        case other:
            choices = "scripted, openai or openai-chat"
            raise ValueError(f"AGENTHUB_EXAMPLE_MODEL is {other!r}: take {choices}")


refunds = Agent(
    name="refunds",
    handoff_description="Handles refunds, and asks a person before it pays.",
    instructions="You are a refund clerk. Find the order, refund its price, and be brief.",
    model=model(),
    # providers of chat completions report usage when they are asked to
    model_settings=ModelSettings(include_usage=True),
    tools=[find_order, refund],
)
