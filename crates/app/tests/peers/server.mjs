// A WebSocket server made with `ws`: greets, and answers each text. Prints its port, and a line for each conversation;
// ends with its standard input. With `deflate` it compresses each message that it may, and its lines name the extension.
// Usage: node server.mjs FOLDER_WITH_NODE_MODULES [deflate]
import { createRequire } from "node:module";
import { resolve } from "node:path";

const { WebSocketServer } = createRequire(resolve(process.argv[2], "index.js"))("ws");

const deflates = process.argv[3] === "deflate";
const perMessageDeflate = deflates && { threshold: 0 };
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  console.log(deflates ? `open ${socket.extensions}` : "open");
  socket.send("Welcome");
  socket.on("message", (data) => socket.send(`You said: ${data}`));
});
process.stdin.on("end", () => process.exit(0)).resume();
