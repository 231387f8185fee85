// `useStream` over the event-streaming protocol: tokens, a question answered, and a page that is reloaded.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useStream } from "@langchain/react";
import { HI, mount, page, passed, text, until, url } from "./kit.mjs";

export async function reactProtocol(transport) {
  await page();

  const chat = await mount(() => useStream({ apiUrl: url, assistantId: "reviewed", transport }));
  chat.now.submit(HI);
  await until(() => chat.now.interrupt, "the question");
  assert.deepEqual(chat.now.interrupt.value, { question: "send it?" });
  await until(() => chat.now.messages.map(text).includes("one two three"), "the first answer");
  await chat.now.respond("yes");
  await until(() => text(chat.now.messages.at(-1)) === "sent: yes", "the answer");
  await until(() => !chat.now.isLoading, "the end");
  assert.deepEqual(chat.now.messages.map(text), ["hi", "one two three", "sent: yes"]);
  chat.unmount();

  const gate = join(tmpdir(), `gate-${randomUUID()}`);
  let threadId = null;
  const options = () => ({
    apiUrl: url,
    assistantId: "patient",
    transport,
    threadId,
    onThreadId: (id) => (threadId = id),
  });
  const before = await mount(() => useStream(options()));
  before.now.submit({ messages: [{ type: "human", content: gate }] });
  await until(() => before.now.messages.map(text).includes("one two three"), "the first answer");
  threadId ??= before.now.threadId;
  before.unmount();
  const after = await mount(() => useStream(options()));
  await until(() => after.now.messages.map(text).includes("one two three"), "what was said before");
  writeFileSync(gate, "");
  await until(() => text(after.now.messages.at(-1)) === "four five", "the rest");
  await until(() => !after.now.isLoading, "the end");
  assert.deepEqual(after.now.messages.map(text), [gate, "one two three", "four five"]);
  passed();
}
