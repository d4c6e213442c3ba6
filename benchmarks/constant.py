"""`python -m benchmarks.constant`: a FastAPI route that returns a constant; prints its port."""

import socket
import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})


@app.get("/constant")
async def constant() -> dict[str, object]:
    """A constant."""
    return {"status": "delivering", "seq": 9}


def main() -> None:
    """Serve on a free port of loopback, as the API's own process does."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", log_config=None, access_log=False, lifespan="off"
    )
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
