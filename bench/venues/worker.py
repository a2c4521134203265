"""The worker's part that carries out orders, as it is deployed, by the settings of the environment.

    python -m bench.venues.worker

Prints a JSON line when it takes orders, and stops when its input ends.
"""

import asyncio
import json
import os
import sys

from settings import Settings
from wiring import temporal_client
from worker import working_gold, working_orders


async def main() -> None:
    settings = Settings()
    client = await temporal_client(settings)
    async with working_gold(client, settings), working_orders(client, settings):
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(json.dumps({"queue": settings.task_queue}), flush=True)
        await ended


if __name__ == "__main__":
    asyncio.run(main())
    # As the worker itself does: the runtime under the workflows' sandbox may crash while the interpreter takes it down.
    os._exit(0)
