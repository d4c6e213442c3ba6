"""`python -m sandbox`: start the outside world as its own process."""

import asyncio

import uvloop

from sandbox.app import serve
from sandbox.settings import from_environment

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(from_environment()))
