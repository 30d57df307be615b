"""Following the events of one timer until it is settled; reconnects and resumes by itself."""

import asyncio
import os

from minoots import AsyncMinoots


async def main() -> None:
    """Set a timer and tell its story as it happens."""
    async with AsyncMinoots(os.environ.get("MINOOTS_URL", "http://127.0.0.1:4000")) as client:
        hook = os.environ.get("WEBHOOK_URL", "http://127.0.0.1:9000/hook")
        timer = await client.timers.create(name="followed", after="1s", webhook=hook)
        async for event in client.events.stream(after=0, subject=timer.id):
            print(event.sequence, event.type)
            if event.type in ("timer.settled", "timer.failed"):
                break


if __name__ == "__main__":
    asyncio.run(main())
