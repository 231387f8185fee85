"""A refund clerk in Strands: it looks an order up, and asks a person before it pays.

Offline and without a key: the model is scripted. `AGENTHUB_EXAMPLE_MODEL=openai` takes a real one, with
OPENAI_API_KEY, and OPENAI_BASE_URL for any provider that speaks the same.
"""

from __future__ import annotations

import os

from scripted import ScriptedModel
from strands import Agent, tool
from strands.models import Model
from strands.vended_interventions.hitl import HumanInTheLoop

ORDERS = {"A-17": {"item": "kettle", "price": 42, "delivered": "broken"}}


@tool
async def find_order(number: str) -> dict[str, object]:
    """Finds an order by its number, such as A-17."""
    order = ORDERS.get(number)
    if order is None:
        raise LookupError(f"there is no order {number!r}")
    return {"status": "success", "content": [{"json": order}]}


@tool
async def refund(number: str, amount: int) -> str:
    """Pays an order's price back, in EUR."""
    return f"{amount} EUR for order {number} are on their way"


def model() -> Model:
    """The model that AGENTHUB_EXAMPLE_MODEL names."""
    match os.environ.get("AGENTHUB_EXAMPLE_MODEL", "scripted"):
        case "scripted":
            return ScriptedModel()
        case "openai":
            from strands.models.openai import OpenAIModel

            return OpenAIModel(model_id=os.environ.get("OPENAI_MODEL", "gpt-4.1-mini"))
        case other:
            raise ValueError(f"AGENTHUB_EXAMPLE_MODEL is {other!r}: take scripted or openai")


def refunds() -> Agent:
    """A clerk for each run: threads that run at once then do not wait for each other."""
    return Agent(
        name="refunds",
        description="Handles refunds, and asks a person before it pays.",
        system_prompt="You are a refund clerk. Find the order, refund its price, and be brief.",
        model=model(),
        tools=[find_order, refund],
        # every tool but this one waits for a person
        interventions=[HumanInTheLoop(allowed_tools=["find_order"])],
    )
