// The event-streaming protocol by the official client: messages, values, a question and its answer.

import assert from "node:assert/strict";
import { Client } from "@langchain/langgraph-sdk";
import { HI, passed, until, url } from "./kit.mjs";

export async function threadStream(transport) {
  const client = new Client({ apiUrl: url });
  const thread = client.threads.stream({ assistantId: "reviewed", transport });
  const said = [];
  const saying = (async () => {
    for await (const message of thread.messages) said.push(await message.text);
  })();
  const { run_id } = await thread.run.start({ input: HI });
  assert.ok(run_id);
  await until(() => thread.interrupted, "the question");
  const [asked] = thread.interrupts;
  assert.deepEqual(asked.payload ?? asked.value, { question: "send it?" });
  await until(() => said.includes("one two three"), "the message");
  await thread.input.respond({
    interrupt_id: asked.interruptId ?? asked.interrupt_id,
    namespace: asked.namespace ?? [],
    response: "yes",
  });
  await until(async () => {
    const { values } = await client.threads.getState(thread.threadId);
    return values.messages.at(-1).content === "sent: yes";
  }, "the answer");
  await thread.close();
  await Promise.race([saying, Promise.resolve()]);

  const again = client.threads.stream(thread.threadId, { assistantId: "reviewed", transport });
  const states = [];
  for await (const state of again.values) {
    states.push(state);
    if (state.messages.at(-1).content === "sent: yes") break;
  }
  assert.ok(states.length > 0);
  await again.close();
  passed();
}
