"""An order desk made with `websockets`: POST /login gives a session, without which no upgrade is let in; DELETE /login ends
it. Prints the port of the bot and that of the login; tells every login and logout; ends with its input."""

import asyncio
import http
import http.server
import json
import re
import secrets
import sys
import threading

from websockets.asyncio.server import serve

sessions = set()


def session_in(headers):
    return headers.get("Authorization", "").removeprefix("Bearer ")


class Login(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        session = secrets.token_hex(16)
        sessions.add(session)
        print("in", body["user"], flush=True)
        answer = json.dumps({"session": session, "user": body["user"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_DELETE(self):
        known = session_in(self.headers) in sessions
        sessions.discard(session_in(self.headers))
        print("out", known, flush=True)
        self.send_response(204 if known else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


def let_in(connection, request):
    if session_in(request.headers) not in sessions:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no session\n")


def answer_to(text):
    if re.search("when will", text, re.IGNORECASE):
        return "The courier will bring it tomorrow."
    order = re.search("OS-[0-9]+", text)
    if order:
        status = "delayed" if order[0][-1] in "789" else "delivered"
        return f"You asked: {text} That order is {status}."
    return "You are welcome."


async def converse(connection):
    await connection.send(json.dumps({"type": "greeting", "text": "Welcome to the order desk."}))
    async for message in connection:
        asked = json.loads(message)
        reply = {"type": "reply", "reply_to": asked["id"], "text": answer_to(asked["text"])}
        await connection.send(json.dumps(reply))


async def main():
    login = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=login.serve_forever, daemon=True).start()
    async with serve(converse, "127.0.0.1", 0, process_request=let_in) as server:
        print(server.sockets[0].getsockname()[1], login.server_address[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
