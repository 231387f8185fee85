// What the scenarios share: waiting for a condition, and React in a document without a browser.

import assert from "node:assert/strict";

export const url = process.argv[2];
assert.ok(url, "usage: node SCENARIO HUB_URL");
export const HI = { messages: [{ type: "human", content: "hi" }] };

/** The first truthy result of `condition`; a deadline instead of a guess. */
export async function until(condition, what = String(condition)) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const result = await condition();
    if (result) return result;
    assert.ok(Date.now() < deadline, `still waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function collect(stream) {
  const found = [];
  for await (const part of stream) found.push(part);
  return found;
}

/** A document for React; the network stays Node's own. */
export async function page() {
  const { JSDOM } = await import("jsdom");
  const { window } = new JSDOM("<div id=root></div>", { url: "http://localhost/" });
  Object.assign(globalThis, { window, document: window.document });
  globalThis.IS_REACT_ACT_ENVIRONMENT = false;
  return window;
}

/** Mount a hook; `seen` holds every value that it had, `now` the latest. */
export async function mount(hook) {
  const { createElement } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const mounted = { seen: [] };
  function Component() {
    mounted.now = hook();
    mounted.seen.push(mounted.now);
    return null;
  }
  const root = createRoot(document.createElement("div"));
  root.render(createElement(Component));
  mounted.unmount = () => root.unmount();
  await until(() => mounted.now, "the first render");
  return mounted;
}

export const text = (message) =>
  typeof message?.content === "string"
    ? message.content
    : (message?.content ?? []).map((block) => block.text ?? "").join("");

/** Scenarios end themselves: clients keep connections open that nobody needs any more. */
export function passed() {
  console.log("passed");
  process.exit(0);
}
