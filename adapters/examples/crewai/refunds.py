"""A refund clerk in CrewAI: it looks an order up, and asks a person before it pays.

Offline and without a key: the model is scripted. `AGENTHUB_EXAMPLE_MODEL=openai` takes a real one, with
OPENAI_API_KEY, and OPENAI_BASE_URL for any provider that speaks the same.
"""

from __future__ import annotations

import os

from crewai import Agent
from crewai.hooks import ToolCallHookContext, before_tool_call
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool
from scripted import ScriptedModel

ORDERS = {"A-17": {"item": "kettle", "price": 42, "delivered": "broken"}}


@tool
def find_order(number: str) -> str:
    """Finds an order by its number, such as A-17."""
    order = ORDERS.get(number)
    if order is None:
        return f"there is no order {number!r}"
    return f"a {order['item']} for {order['price']} EUR, delivered {order['delivered']}"


@tool
def refund(number: str, amount: int) -> str:
    """Pays an order's price back, in EUR."""
    return f"{amount} EUR for order {number} are on their way"


@before_tool_call(tools=["refund"])
def ask(context: ToolCallHookContext) -> bool | None:
    """Nothing is paid before a person says yes; False keeps the tool from running."""
    given = context.tool_input
    answer = context.request_human_input(f"Refund {given['amount']} EUR for {given['number']}?")
    return None if answer == "yes" else False


def model() -> BaseLLM | str:
    """The model that AGENTHUB_EXAMPLE_MODEL names."""
    match os.environ.get("AGENTHUB_EXAMPLE_MODEL", "scripted"):
        case "scripted":
            return ScriptedModel(model="scripted")
        case "openai":
            return f"openai/{os.environ.get('OPENAI_MODEL', 'gpt-4.1-mini')}"
        case other:
            raise ValueError(f"AGENTHUB_EXAMPLE_MODEL is {other!r}: take scripted or openai")


refunds = Agent(
    role="Refund clerk",
    goal="Handles refunds, and asks a person before it pays.",
    backstory="You find the order, refund its price, and are brief.",
    llm=model(),
    tools=[find_order, refund],
)
