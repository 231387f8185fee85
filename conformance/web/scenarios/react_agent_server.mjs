// `useStream` over the Agent Server's streams: tokens, a question answered, and a page that is reloaded.

import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { useStream } from "@langchain/langgraph-sdk/react";
import { HI, mount, page, passed, text, until, url } from "../kit.mjs";

const window = await page();

/** The hook streams what a render reads, and no more. */
function useChat(options) {
  const stream = useStream(options);
  const { messages, interrupt, isLoading, submit } = stream;
  return { messages, interrupt, isLoading, submit };
}

const chat = await mount(() => useChat({ apiUrl: url, assistantId: "reviewed" }));
chat.now.submit(HI);
await until(() => chat.now.interrupt, "the question");
assert.deepEqual(chat.now.interrupt.value, { question: "send it?" });
const growing = chat.seen.map((s) => text(s.messages.at(-1))).filter((t) => "one two three".startsWith(t));
assert.ok(new Set(growing).size > 3, `tokens: ${[...new Set(growing)]}`);
chat.now.submit(undefined, { command: { resume: "yes" } });
await until(() => text(chat.now.messages.at(-1)) === "sent: yes" && !chat.now.isLoading, "the answer");
assert.deepEqual(chat.now.messages.map(text), ["hi", "one two three", "sent: yes"]);
chat.unmount();

const gate = join(tmpdir(), `gate-${randomUUID()}`);
let threadId = null;
const options = () => ({
  apiUrl: url,
  assistantId: "patient",
  threadId,
  onThreadId: (id) => (threadId = id),
  reconnectOnMount: true,
});
const before = await mount(() => useChat(options()));
before.now.submit({ messages: [{ type: "human", content: gate }] }, { streamResumable: true });
await until(() => before.now.messages.map(text).includes("one two three"), "the first answer");
before.unmount();
assert.ok(window.sessionStorage.getItem(`lg:stream:${threadId}`), "the run is remembered");
const after = await mount(() => useChat(options()));
await until(() => after.now.messages.map(text).includes("one two three"), "what was said before");
writeFileSync(gate, "");
await until(() => text(after.now.messages.at(-1)) === "four five" && !after.now.isLoading, "the rest");
assert.deepEqual(after.now.messages.map(text), [gate, "one two three", "four five"]);
passed();
