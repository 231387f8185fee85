// The plain client: assistants, threads, runs, streams, an interrupt, a cancel.

import assert from "node:assert/strict";
import { Client } from "@langchain/langgraph-sdk";
import { HI, collect, passed, until, url } from "../kit.mjs";

const client = new Client({ apiUrl: url });

const [assistant] = await client.assistants.search({ graphId: "chat" });
assert.equal(assistant.graph_id, "chat");
assert.equal((await client.assistants.get(assistant.assistant_id)).graph_id, "chat");
assert.ok(await client.assistants.getSchemas(assistant.assistant_id));

const thread = await client.threads.create({ metadata: { from: "js" } });
assert.deepEqual((await client.threads.get(thread.thread_id)).metadata, { from: "js" });
await client.threads.update(thread.thread_id, { metadata: { more: 1 } });
const [found] = await client.threads.search({ metadata: { from: "js", more: 1 } });
assert.equal(found.thread_id, thread.thread_id);

const values = await client.runs.wait(thread.thread_id, "chat", { input: HI });
assert.equal(values.messages.at(-1).content, "one two three");

const tuples = await collect(
  client.runs.stream(thread.thread_id, "chat", { input: HI, streamMode: ["messages-tuple", "values"] }),
);
assert.equal(tuples[0].event, "metadata");
assert.equal(tuples.at(-1).event, "end");
assert.equal(tuples.at(-1).data.status, "success");
const tokens = tuples.filter((part) => part.event === "messages").map((part) => part.data[0].content);
assert.equal(tokens.join(""), "one two three");

const partials = await collect(
  client.runs.stream(null, "chat", { input: HI, streamMode: "messages" }),
);
assert.equal(partials.findLast((p) => p.event === "messages/partial").data[0].content, "one two three");

const refused = await client.runs.create(thread.thread_id, "chat", { command: { resume: "yes" } })
  .catch((error) => error);
assert.match(String(refused), /409/, "nothing was asked");
const shared = await client.runs.wait(thread.thread_id, "count", { input: 3, raiseError: false });
assert.equal(shared, 3, "another agent goes on where this one has worked");

const counting = (await client.threads.create()).thread_id;
const counted = await client.runs.create(counting, "count", { input: 3, streamMode: "custom" });
await client.runs.join(counting, counted.run_id);
const joined = await collect(client.runs.joinStream(counting, counted.run_id, { lastEventId: "-1" }));
assert.deepEqual(joined.filter((p) => p.event === "custom").map((p) => p.data), [0, 1, 2]);
const behind = joined.find((p) => p.event === "custom" && p.data === 1);
const rest = await collect(
  client.runs.joinStream(counting, counted.run_id, { lastEventId: behind.id, streamMode: "custom" }),
);
assert.deepEqual(rest.filter((p) => p.event === "custom").map((p) => p.data), [2]);
assert.equal((await client.runs.get(counting, counted.run_id)).status, "success");
assert.equal((await client.runs.list(counting)).length, 1);

const asking = (await client.threads.create()).thread_id;
const asked = await client.runs.wait(asking, "ask", { input: 4 });
assert.deepEqual(asked.__interrupt__[0].value, { question: "use 4?".replace("4", "8") });
assert.equal((await client.threads.get(asking)).status, "interrupted");
const answered = await client.runs.wait(asking, "ask", { command: { resume: "yes" } });
assert.deepEqual(answered, { doubled: 8, answer: "yes" });
assert.deepEqual((await client.threads.getState(asking)).values, answered);
assert.ok((await client.threads.getHistory(asking)).length >= 2);

const stuck = (await client.threads.create()).thread_id;
const waiting = await client.runs.create(stuck, "wait_for_ever", { input: 1 });
await until(async () => (await client.runs.get(stuck, waiting.run_id)).status === "running");
await client.runs.cancel(stuck, waiting.run_id, true);
assert.equal((await client.runs.get(stuck, waiting.run_id)).status, "interrupted");

const following = client.threads.joinStream(counting, { lastEventId: "-" });
const events = [];
for await (const part of following) {
  events.push(part.event);
  if (part.event === "end") break;
}
assert.deepEqual(events.filter((e) => e !== "custom"), ["metadata", "updates", "values", "end"]);

await client.threads.delete(thread.thread_id);
await assert.rejects(client.threads.get(thread.thread_id), /404/);
passed();
