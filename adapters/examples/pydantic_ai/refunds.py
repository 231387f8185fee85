"""A refund clerk in Pydantic AI: it looks an order up, and asks a person before it pays.

Offline and without a key: the model is scripted. `AGENTHUB_EXAMPLE_MODEL=openai` takes a real one, with
OPENAI_API_KEY, and OPENAI_BASE_URL for any provider that speaks the same.
"""

from __future__ import annotations

import os

from pydantic_ai import Agent
from pydantic_ai.models import Model
from scripted import scripted_model

ORDERS = {"A-17": {"item": "kettle", "price": 42, "delivered": "broken"}}


def model() -> Model | str:
    """The model that AGENTHUB_EXAMPLE_MODEL names."""
    match os.environ.get("AGENTHUB_EXAMPLE_MODEL", "scripted"):
        case "scripted":
            return scripted_model()
        case "openai":
            return f"openai:{os.environ.get('OPENAI_MODEL', 'gpt-4.1-mini')}"
        case other:
            raise ValueError(f"AGENTHUB_EXAMPLE_MODEL is {other!r}: take scripted or openai")


refunds = Agent(
    model(),
    name="refunds",
    description="Handles refunds, and asks a person before it pays.",
    instructions="You are a refund clerk. Find the order, refund its price, and be brief.",
)


@refunds.tool_plain
async def find_order(number: str) -> dict[str, object]:
    """Finds an order by its number, such as A-17."""
    return dict(ORDERS.get(number) or {"error": f"there is no order {number!r}"})


@refunds.tool_plain(requires_approval=True)
async def refund(number: str, amount: int) -> str:
    """Pays an order's price back, in EUR."""
    return f"{amount} EUR for order {number} are on their way"
