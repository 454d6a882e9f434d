"""A WebSocket server made with `websockets`: greets, and answers each text. Prints its port, and with `extensions` for each
conversation those that were agreed on; ends with its input."""

import asyncio
import sys

from websockets.asyncio.server import serve


async def converse(connection):
    if sys.argv[1:] == ["extensions"]:
        print(*(f"open {extension.name}" for extension in connection.protocol.extensions), flush=True)
    await connection.send("Welcome")
    async for message in connection:
        await connection.send(f"You said: {message}")


async def main():
    async with serve(converse, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
