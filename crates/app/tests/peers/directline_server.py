"""A bot behind Direct Line 3.0, made with `aiohttp`. It answers over the socket before it answers the request, drops each
conversation's first socket in place of its second answer and sends that once the client is back. Prints its port, and a
line for each conversation that ends; ends with its standard input."""

import asyncio
import json
import secrets
import sys

from aiohttp import WSMsgType, web

SECRET = "the-secret"
BASE = "/v3/directline"


class Conversation:
    def __init__(self):
        self.id = secrets.token_hex(4)
        # The last is the newest; the others are good until they expire, which here is never.
        self.tokens = [secrets.token_hex(16)]
        self.ticket = secrets.token_hex(16)
        self.activities = []
        self.socket = None
        self.dropped = False

    def opening(self, request, watermark):
        self.ticket = secrets.token_hex(16)
        stream = f"{BASE}/conversations/{self.id}/stream?watermark={watermark}&t={self.ticket}"
        return {
            "conversationId": self.id,
            "token": self.tokens[-1],
            "expires_in": 2,
            "streamUrl": f"ws://{request.host}{stream}",
        }

    async def add(self, activity):
        activity["id"] = f"{self.id}|{len(self.activities):07}"
        self.activities.append(activity)
        if self.socket is not None:
            await self.socket.send_str(self.since(len(self.activities) - 1))
        return activity["id"]

    def since(self, watermark):
        new = self.activities[watermark:]
        return json.dumps({"activities": new, "watermark": str(len(self.activities))})


conversations = {}
routes = web.RouteTableDef()


def bearer(request):
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def of(request):
    conversation = conversations.get(request.match_info["id"])
    if conversation is None:
        raise web.HTTPNotFound()
    if bearer(request) not in conversation.tokens:
        raise web.HTTPForbidden()
    return conversation


@routes.post(BASE + "/conversations")
async def start(request):
    if bearer(request) != SECRET:
        return web.json_response({"error": {"code": "BadArgument", "message": "no such secret"}}, status=401)
    conversation = Conversation()
    conversations[conversation.id] = conversation
    return web.json_response(conversation.opening(request, "-"), status=201)


@routes.get(BASE + "/conversations/{id}")
async def reconnect(request):
    return web.json_response(of(request).opening(request, request.query["watermark"]))


@routes.post(BASE + "/tokens/refresh")
async def refresh(request):
    [conversation] = [one for one in conversations.values() if bearer(request) in one.tokens]
    conversation.tokens.append(secrets.token_hex(16))
    return web.json_response({"conversationId": conversation.id, "token": conversation.tokens[-1], "expires_in": 2})


@routes.post(BASE + "/conversations/{id}/activities")
async def activities(request):
    conversation = of(request)
    activity = await request.json()
    said = await conversation.add(activity)
    if activity["type"] == "message":
        if activity["text"] == "two" and not conversation.dropped:
            conversation.dropped = True
            socket, conversation.socket = conversation.socket, None
            socket._req.transport.abort()
        bot = {"id": "shop-bot"}
        await conversation.add({"type": "message", "from": bot, "text": f"You said: {activity['text']}", "replyToId": said})
    return web.json_response({"id": said})


@routes.get(BASE + "/conversations/{id}/stream")
async def stream(request):
    conversation = conversations[request.match_info["id"]]
    if request.query["t"] != conversation.ticket or "authorization" in request.headers:
        raise web.HTTPForbidden()
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    watermark = request.query["watermark"]
    conversation.socket = socket
    await socket.send_str("")
    await socket.send_str(conversation.since(0 if watermark == "-" else int(watermark)))
    async for message in socket:
        if message.type == WSMsgType.ERROR:
            break
    if conversation.socket is socket:
        print([activity["type"] for activity in conversation.activities].count("endOfConversation"), "goodbye", flush=True)
    return socket


async def main():
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
