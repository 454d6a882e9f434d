"""An agent made with `websockets`, which streams its answers and calls a person when asked for one, in the words that
`examples/llm-agent.yaml` declares. Prints its port; ends with its input."""

import asyncio
import json
import sys

from websockets.asyncio.server import serve

ANSWER = "Please unplug it , wait for a minute , and try again"


async def answer(send, question):
    if "person" in question["text"]:
        await send(type="reply", reply_to=question["id"], text="I will get a colleague.", last=True)
        return await send(type="handoff")
    await send(type="typing")
    for word in ANSWER.split():
        await send(type="delta", reply_to=question["id"], text=word + " ")
        await asyncio.sleep(0.002)
    await send(type="done", reply_to=question["id"])


async def converse(connection):
    async def send(**frame):
        await connection.send(json.dumps(frame))

    async for message in connection:
        question = json.loads(message)
        await connection.send(message)
        await answer(send, question)


async def main():
    async with serve(converse, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
