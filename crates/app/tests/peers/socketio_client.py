"""A client made with `python-socketio` that converses with the address given as a web chat converses with Rasa, answers
two pings, and prints what it hears as JSON lines."""

import asyncio
import json
import logging
import sys

import socketio


class Pongs(logging.Handler):
    """Learns from the client's own log that it has answered."""

    def __init__(self):
        super().__init__()
        self.left = 2
        self.sent = asyncio.Event()

    def emit(self, record):
        if "Sending packet PONG" in record.getMessage():
            self.left -= 1
            if self.left <= 0:
                self.sent.set()


async def main():
    pongs = Pongs()
    logger = logging.getLogger("engineio.test")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(pongs)
    client = socketio.AsyncClient(reconnection=False, engineio_logger=logger)
    heard = asyncio.Queue()
    for name in ["session_confirm", "bot_uttered", "disconnect"]:
        client.on(name, lambda *data, name=name: heard.put_nowait([name, *data]))

    async def hear(name):
        while True:
            event = await asyncio.wait_for(heard.get(), 30)
            print(json.dumps(event), flush=True)
            if event[0] == name:
                return

    await client.connect(sys.argv[1], transports=["websocket"], auth={"token": "t"})
    await client.emit("session_request", {"session_id": "mine"})
    await hear("session_confirm")
    acknowledged = await client.call("user_uttered", {"message": "hello", "session_id": "mine"}, timeout=30)
    print(json.dumps(["acknowledged", acknowledged]), flush=True)
    await hear("bot_uttered")
    await asyncio.wait_for(pongs.sent.wait(), 30)
    await client.disconnect()
    await hear("disconnect")


asyncio.run(main())
