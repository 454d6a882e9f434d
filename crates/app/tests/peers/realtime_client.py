"""A client made with `openai` that converses over the Realtime API at the address given, and prints what it learns of the
events that it hears as JSON lines."""

import asyncio
import json
import sys

from openai import AsyncOpenAI


async def response(connection):
    text = ""
    async for event in connection:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "rate_limits.updated":
            limit = event.rate_limits[0]
            print(json.dumps(["limit", limit.name, limit.limit, limit.remaining, limit.reset_seconds is not None]))
        elif event.type == "error":
            print(json.dumps(["error", event.error.code, event.error.event_id]))
        elif event.type == "response.done":
            done = event.response
            code = done.status_details and done.status_details.error and done.status_details.error.code
            metadata = done.metadata and dict(done.metadata)
            print(json.dumps(["done", done.status, code, text, done.usage.output_tokens, metadata]), flush=True)
            return


async def main():
    client = AsyncOpenAI(api_key="none", websocket_base_url=sys.argv[1])
    async with client.realtime.connect(model="emulated") as connection:
        created = await asyncio.wait_for(connection.recv(), 30)
        print(json.dumps([created.type]))
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        updated = await asyncio.wait_for(connection.recv(), 30)
        print(json.dumps([updated.type, updated.session.output_modalities]))
        for turn in ["1", "2"]:
            content = [{"type": "input_text", "text": f"hello {turn}"}]
            await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            await connection.response.create(response={"metadata": {"turn": turn}})
            await asyncio.wait_for(response(connection), 30)


asyncio.run(main())
