"""Where CrewAI asks people: human input of tasks, feedback and questions of flows, hooks, and `input()`."""

from __future__ import annotations

import builtins
import re
from functools import lru_cache
from typing import Any, Final

from agenthub.adapting import approval
from agenthub_crewai import answers
from agenthub_crewai import messages as m
from agenthub_crewai.journal import CALL, RUN, Run

_WORD: Final = re.compile(r"['\"](\w+)['\"]")
_REVIEW: Final = "Is this good? Say what to change, or nothing to accept it."


def install() -> None:
    """Ask through the hub, wherever a step runs."""
    _input()
    _flows()
    _hooks()


@lru_cache
def provider() -> Any:
    """Human input of tasks, for the context of a step."""
    base = m.sdk("crewai.core.providers.human_input").SyncHumanInputProvider

    class HubInput(base):  # pyright: ignore[reportUntypedBaseClass]
        def handle_feedback(self, formatted_answer: Any, context: Any) -> Any:
            answer = formatted_answer
            while context.ask_for_human_input:
                if _reviewed(self, answer, context):
                    answer = context._invoke_loop()
            return answer

        async def handle_feedback_async(self, formatted_answer: Any, context: Any) -> Any:
            answer = formatted_answer
            while context.ask_for_human_input:
                if _reviewed(self, answer, context):
                    answer = await context._ainvoke_loop()
            return answer

    return HubInput()


def _reviewed(self: Any, answer: Any, context: Any) -> bool:
    """Whether there is something to change, which the agent then knows."""
    task = getattr(context.task, "description", None)
    payload = {"output": self._get_output_string(answer), "agent": context.agent.role, "task": task}
    said = answers.feedback(_run().ask("feedback", _REVIEW, payload, context.agent.role))
    if not said:
        context.ask_for_human_input = False
        return False
    context.messages.append(context._format_feedback_message(said))
    return True


def _input() -> None:
    real = builtins.input

    def asked(prompt: object = "", /) -> str:
        run = RUN.get()
        if run is None:
            return real(prompt)
        return answers.text(run.ask("input", str(prompt).strip(), None, "input"))

    builtins.input = asked


def _flows() -> None:
    pending = m.sdk("crewai.flow.async_feedback").HumanFeedbackPending

    class HubFeedback:
        """`@human_feedback` of a flow pauses by CrewAI's own means; that of a flow inside of it cannot, as
        its pause would be the result of a method."""

        def request_feedback(self, context: Any, flow: Any) -> Any:
            run = RUN.get()
            if run is None or run.flow is flow:
                raise pending(context=context)
            output, emit = m.plain(context.method_output), context.emit or ()
            payload = {"output": output, "outcomes": m.plain(context.emit)}
            answer = run.ask("feedback", context.message, payload, context.method_name)
            return answers.outcome(answer, emit)

    class HubQuestions:
        """`Flow.ask`."""

        def request_input(self, message: str, flow: Any, metadata: Any = None) -> str | None:
            answer = _run().ask("input", message, m.plain(metadata), type(flow).__name__)
            declined = answer in ({"action": "decline"}, {"action": "cancel"}, None)
            return None if declined else answers.text(answer)

    config = m.sdk("crewai.flow.flow_config").flow_config
    # a project may have its own
    config.hitl_provider = config.hitl_provider or HubFeedback()
    config.input_provider = config.input_provider or HubQuestions()


def _hooks() -> None:
    hooks = m.sdk("crewai.hooks.tool_hooks")
    for cls in (hooks.ToolCallHookContext, m.sdk("crewai.hooks.llm_hooks").LLMCallHookContext):
        _hook(cls, cls.request_human_input)
    hooks.register_after_tool_call_hook(_reason)


def _hook(cls: Any, original: Any) -> None:
    def request_human_input(self: Any, prompt: str, default_message: str = "") -> str:
        run = RUN.get()
        if run is None:
            return original(self, prompt, *([default_message] if default_message else ()))
        tool: str | None = getattr(self, "tool_name", None)
        payload = {"tool": tool, "args": m.plain(self.tool_input)} if tool else None
        answer = run.ask("approval", prompt, payload, tool)
        agreed, said = approval(answer)
        if agreed:
            # the word that the hook waits for
            word = _WORD.search(f"{default_message} {prompt}")
            return word[1] if word else "yes"
        if (call := CALL.get()) is not None and said:
            call["refused"] = said
        return answer if isinstance(answer, str) and answer else "no"

    cls.request_human_input = request_human_input


def _reason(context: Any) -> str | None:
    """What was said along with a refusal is told to the model."""
    call = CALL.get()
    if RUN.get() is None or call is None or "refused" not in call:
        return None
    return f"{context.tool_result} The user said: {call['refused']}"


def _run() -> Run:
    run = RUN.get()
    if run is None:
        raise RuntimeError("a person is asked outside of a run of the hub")
    return run
