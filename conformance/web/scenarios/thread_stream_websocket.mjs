import { threadStream } from "../thread_stream.mjs";

await threadStream("websocket");
