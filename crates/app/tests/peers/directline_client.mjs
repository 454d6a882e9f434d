// A conversation by Microsoft's own client of Direct Line. Prints a line of JSON for each activity that it hears, and what came
// of the last message.
// Usage: node directline_client.mjs FOLDER_WITH_NODE_MODULES http://HOST:PORT

import { createRequire } from "node:module";
import { resolve } from "node:path";

const [modules, url] = process.argv.slice(2);
const require = createRequire(resolve(modules, "index.js"));
globalThis.WebSocket = require("ws").WebSocket;
globalThis.XMLHttpRequest = require("xhr2");
// The client waits for a random while before it reconnects: here always for the shortest.
Math.random = () => 0;
const { DirectLine } = require("botframework-directlinejs");

const me = { id: "dl_me" };
const print = (...line) => console.log(JSON.stringify(line));
const line = new DirectLine({ secret: "secret", domain: `${url}/v3/directline` });
const heard = [];
const waiting = [];
line.activity$.subscribe((activity) => {
  const mine = activity.from.id === me.id;
  const answered = heard.find(({ id }) => id === activity.replyToId);
  print(activity.type, mine ? "me" : activity.from.role, activity.text ?? null, answered?.text ?? null);
  heard.push(activity);
  waiting.splice(0).forEach((look) => look());
});

async function until(holds) {
  while (!heard.some(holds)) {
    await new Promise((look) => waiting.push(look));
  }
}

function post(text) {
  return new Promise((done) => {
    line.postActivity({ type: "message", from: me, text }).subscribe(
      (id) => done(id),
      (error) => done(error.status),
    );
  });
}

await until((activity) => activity.text === "Hello");
for (const text of ["one", "two", "three"]) {
  await post(text);
  if (text !== "two") {
    await until((activity) => activity.text === `You said: ${text}`);
  }
}
print("refused", await post("four"));
process.exit(0);
