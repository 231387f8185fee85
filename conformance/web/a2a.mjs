// The official A2A client for JavaScript, over the binding that is asked for: every operation that has a
// method of its own, a question, two subscribers, typed errors, and the signature of the card.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import {
  SendMessageRequest, StreamResponse, SubscribeToTaskRequest, Task, TaskPushNotificationConfig,
  verifyAgentCardSignature,
} from "@a2a-js/sdk";
import { ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";
import { GrpcTransportFactory } from "@a2a-js/sdk/client/grpc";
import { collect, passed, url } from "./kit.mjs";

const [binding, gate] = process.argv.slice(3);
const factory = new ClientFactory({
  transports: [new JsonRpcTransportFactory(), new RestTransportFactory(), new GrpcTransportFactory()],
  preferredTransports: [binding],
});

async function agent(name) {
  const client = await factory.createFromUrl(`${url}/agents/${name}/`);
  assert.equal(client.transport.protocolName, binding);
  return client;
}

function message(part, more = {}) {
  const parts = [typeof part === "string" ? { text: part } : { data: part }];
  const body = { messageId: randomUUID(), role: "ROLE_USER", parts, ...more };
  return SendMessageRequest.fromJSON({ message: body });
}

const state = (task) => Task.toJSON(task).status.state.replace("TASK_STATE_", "");
const result = (task) =>
  Task.toJSON(task).artifacts.find((one) => one.artifactId === "result").parts[0].data;
const told = (events) =>
  events.map((event) => {
    const { task, statusUpdate, artifactUpdate } = StreamResponse.toJSON(event);
    if (task) return "task";
    if (statusUpdate) return statusUpdate.status.state.replace("TASK_STATE_", "");
    return artifactUpdate.artifact.artifactId;
  });

// a message, its task, the list that it stands in
const echo = await agent("echo");
const task = await echo.sendMessage(message("hello"));
assert.equal(state(task), "COMPLETED");
assert.equal(result(task), "hello");
assert.deepEqual(Task.toJSON(await echo.getTask({ tenant: "", id: task.id })), Task.toJSON(task));
const listed = await echo.listTasks({ tenant: "", contextId: task.contextId, status: 0, pageSize: 5, pageToken: "" });
assert.deepEqual(listed.tasks.map((one) => one.id), [task.id]);

// a stream
const story = await agent("story");
const events = told(await collect(story.sendMessageStream(message("tell me one"))));
assert.equal(events[0], "task");
assert.ok(events.includes("output"), events.join());
assert.deepEqual(events.slice(-2), ["result", "COMPLETED"]);

// a question and its answer on the same task
const ship = await agent("ship");
const asked = await ship.sendMessage(message("a boat"));
assert.equal(state(asked), "INPUT_REQUIRED");
const answer = message(true, { taskId: asked.id, contextId: asked.contextId });
const shipped = await ship.sendMessage(answer);
assert.equal(shipped.id, asked.id);
assert.deepEqual(result(shipped), { order: "a boat", shipped: true });

// two subscribers of a task that waits for a file; one of them leaves, the other sees the end
const gated = await agent("gated");
const held = await gated.sendMessage({ ...message({ gate }), configuration: { acceptedOutputModes: [], returnImmediately: true } });
const subscribe = () => gated.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id: held.id }));
const [stays, leaves] = [subscribe(), subscribe()];
const first = await stays.next();
await leaves.next();
await leaves.return();
await writeFile(gate, "");
const rest = told([first.value, ...(await collect(stays))]);
assert.equal(rest[0], "task");
assert.equal(rest.at(-1), "COMPLETED");

// push configs
const config = await ship.createTaskPushNotificationConfig(
  TaskPushNotificationConfig.fromJSON({ taskId: shipped.id, id: "js", url: "http://127.0.0.1:9/never" }),
);
assert.equal(config.id, "js");
const one = { tenant: "", taskId: shipped.id, id: "js" };
assert.equal((await ship.getTaskPushNotificationConfig(one)).url, config.url);
const { configs } = await ship.listTaskPushNotificationConfig({ tenant: "", taskId: shipped.id, pageSize: 0, pageToken: "" });
assert.deepEqual(configs.map((found) => found.id), ["js"]);
await ship.deleteTaskPushNotificationConfig(one);

// cancelling, and what is refused
const waiting = await ship.sendMessage(message("a ship"));
assert.equal(state(await ship.cancelTask({ tenant: "", id: waiting.id })), "CANCELED");
await assert.rejects(ship.cancelTask({ tenant: "", id: waiting.id }), { name: /TaskNotCancelable/ });
await assert.rejects(ship.getTask({ tenant: "", id: randomUUID() }), { name: /TaskNotFound/ });

// the card is signed by a key of the hub
const { keys } = await (await fetch(`${url}/.well-known/jwks.json`)).json();
await verifyAgentCardSignature(async (kid) => keys.find((key) => key.kid === kid))(await echo.getAgentCard());

passed();
