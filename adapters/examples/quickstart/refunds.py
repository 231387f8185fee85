"""A refund clerk: looks an order up, drafts an answer word by word, and asks before it pays.

Offline and without a key: the chat model is scripted. Swap `model` for a real one and nothing else
changes.
"""

from __future__ import annotations

from typing import Any

from langgraph.func import entrypoint, task
from langgraph.types import interrupt
from scripted import ScriptedModel
from typing_extensions import TypedDict

ORDERS = {"A-17": {"item": "kettle", "price": 42, "delivered": "broken"}}
APPROVAL = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "title": "Pay the refund?"},
        "note": {"type": "string", "title": "A note to the customer"},
    },
    "required": ["approved"],
}

model = ScriptedModel(
    script="I am sorry that your {item} arrived {delivered}. "
    "I have prepared a refund of {price} EUR and asked a colleague to approve it."
)


class Request(TypedDict):
    """What the customer wrote."""

    message: str


class Decision(TypedDict):
    """What was decided."""

    order: str
    answer: str
    refunded: int
    note: str


@task
async def find_order(message: str) -> dict[str, Any]:
    """The tool: the order that a message names."""
    for number, order in ORDERS.items():
        if number in message:
            return {"number": number, **order}
    raise LookupError("no order number in the message: try 'My order A-17 arrived broken'")


@task
async def draft(order: dict[str, Any]) -> str:
    """The model's answer, streamed."""
    reply = await model.ainvoke([("system", "You are a refund clerk."), ("user", repr(order))])
    return str(reply.content)


@entrypoint()
async def refunds(request: Request) -> Decision:
    """Handles a refund: finds the order, drafts an answer, and asks a person before it pays."""
    order = await find_order(request["message"])
    answer = await draft(order)
    question = f"Refund {order['price']} EUR for order {order['number']} ({order['item']})?"
    approval = interrupt({"question": question, "draft": answer}, response_schema=APPROVAL)
    refunded = order["price"] if approval.get("approved") else 0
    return {
        "order": order["number"],
        "answer": answer,
        "refunded": refunded,
        "note": approval.get("note") or "",
    }
