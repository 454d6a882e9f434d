// A server made with `socket.io` that speaks as Rasa's channel does, and on /orders in events of its own. It answers
// nobody who has not answered two pings. Prints its port, and a line when a client disconnects in so many words; ends
// with its standard input.
// Usage: node socketio_server.mjs FOLDER_WITH_NODE_MODULES
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const { Server } = createRequire(resolve(process.argv[2], "index.js"))("socket.io");

const http = createServer();
const io = new Server(http, { pingInterval: 50, pingTimeout: 60_000 });

function aliveness(socket) {
  let pongs = 0;
  return new Promise((alive) => {
    socket.conn.on("packet", ({ type }) => {
      if (type === "pong" && (pongs += 1) === 2) alive();
    });
  });
}

function goodbye(socket) {
  socket.on("disconnect", (why) => console.log(why));
}

io.on("connection", (socket) => {
  const alive = aliveness(socket);
  let session = null;
  goodbye(socket);
  socket.on("session_request", (data) => {
    session = data.session_id;
    socket.emit("session_confirm", session);
  });
  socket.on("user_uttered", async (data) => {
    await alive;
    if (session === null || data.session_id !== session) {
      socket.emit("bot_uttered", { text: "I do not know your session." });
    } else if (data.message === "/affirm") {
      socket.emit("bot_uttered", { text: "It is done." });
    } else {
      const yes = { content_type: "text", title: "Yes", payload: "/affirm" };
      socket.emit("bot_uttered", { text: `You said: ${data.message}. Sure?`, quick_replies: [yes] });
    }
  });
});

const orders = io.of("/orders");
orders.use((socket, next) => {
  next(socket.handshake.auth.bearer ? undefined : new Error("Not authorized"));
});
orders.on("connection", (socket) => {
  const alive = aliveness(socket);
  goodbye(socket);
  socket.on("ask", async (text, { id }, acknowledge) => {
    acknowledge();
    await alive;
    socket.emit("busy");
    // A client that does not acknowledge gets no answer.
    socket.timeout(60_000).emit("ping me", (error) => {
      if (!error) socket.emit("answer", `You said: ${text}`, { id });
    });
  });
});

http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
