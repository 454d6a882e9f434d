"""A client made with `websockets` that converses with the address given, and prints what it hears as JSON lines."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect


async def hear(connection, kind):
    while True:
        frame = json.loads(await asyncio.wait_for(connection.recv(), 10))
        print(json.dumps(frame), flush=True)
        if frame["type"] == kind:
            return frame


async def main():
    async with connect(sys.argv[1]) as connection:
        agreed = [extension.name for extension in connection.protocol.extensions]
        assert agreed == ["permessage-deflate"], agreed
        await hear(connection, "greeting")
        await connection.send(json.dumps({"type": "message", "id": "7", "text": "Where is my order?"}))
        await hear(connection, "reply")
        await connection.ping()
    print(json.dumps({"type": "closed", "code": connection.close_code}))


asyncio.run(main())
