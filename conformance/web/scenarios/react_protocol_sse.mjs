import { reactProtocol } from "../react_protocol.mjs";

await reactProtocol("sse");
