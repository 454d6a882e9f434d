"""An OAuth 2.0 server made with Authlib and Flask, which gives tokens for a client's credentials, and a bot made with
`websockets`, which lets nobody in without one, nor with one that has expired. The arguments are how many seconds a token
lives, and how many tokens it gives before it answers 503, where that is any number. Prints the port of the bot and
that of the tokens; tells every request for a token, and each that an upgrade bears for the first time; ends with its input."""

import asyncio
import http
import json
import os
import sys
import threading
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from flask import Flask, request
from websockets.asyncio.server import serve
from werkzeug.serving import WSGIRequestHandler, make_server

tokens = {}
life = int(sys.argv[1])
most = int(sys.argv[2]) if len(sys.argv) > 2 else None


class Client(ClientMixin):
    def __init__(self, client_id, secret):
        self.client_id, self.secret = client_id, secret

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(one for one in (scope or "").split() if one == "chat")

    def check_client_secret(self, secret):
        return secret == self.secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


clients = {one.client_id: one for one in (Client("load", "s3cret-of-load"), Client("b", "s3cret-of-b"))}


class Credentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


def save_token(token, request):
    tokens[token["access_token"]] = (request.client.client_id, time.monotonic() + life)


app = Flask(__name__)
app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": life}
app.config["OAUTH2_SCOPES_SUPPORTED"] = ["chat"]
server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
server.register_grant(Credentials)


@app.post("/oauth/token")
def issue():
    if most is not None and len(tokens) >= most:
        print("token none 503", flush=True)
        return "try again later\n", 503
    answer = server.create_token_response()
    way = "basic" if "Authorization" in request.headers else "body"
    print("token", way, answer.status_code, flush=True)
    return answer


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


seen = set()


def let_in(connection, request):
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    client, expires = tokens.get(token, (None, 0))
    if expires < time.monotonic():
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, f"not known: {token}\n")
    if token not in seen:
        seen.add(token)
        print("upgrade", client, flush=True)


async def converse(connection):
    token = connection.request.headers["Authorization"].removeprefix("Bearer ")
    async for message in connection:
        asked = json.loads(message)
        reply = {"type": "reply", "reply_to": asked["id"], "text": f"You bear {token}."}
        await connection.send(json.dumps(reply))


async def main():
    issuer = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=issuer.serve_forever, daemon=True).start()
    async with serve(converse, "127.0.0.1", 0, process_request=let_in) as bot:
        print(bot.sockets[0].getsockname()[1], issuer.server_port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
