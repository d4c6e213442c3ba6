"""`python -m benchmarks.hammer`: GETs over kept connections, as fast as they are answered.

Reads {port, paths, token, connections, seconds} from stdin; one thread over epoll, about ten
microseconds a request, so that a server in Python is the limit and not this.
"""

import select
import socket
import sys
import time

import orjson

from benchmarks.pace import percentile

OK = b"HTTP/1.1 200 "
FIRST_SECONDS = 10.0
CHUNK_BYTES = 65_536


class Line:
    """One connection that repeats one request; its answers all have one length."""

    def __init__(self, port: int, request: bytes) -> None:
        self.request = request
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=FIRST_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.length = self._first()
        self.got = 0
        self.sent_at = 0.0
        self.socket.setblocking(False)

    def send(self) -> None:
        """Ask again."""
        self.got, self.sent_at = 0, time.perf_counter()
        self.socket.send(self.request)

    def take(self) -> bool:
        """Read what is there; whether the answer is complete."""
        chunk = self.socket.recv(CHUNK_BYTES)
        if not chunk or (self.got == 0 and not chunk.startswith(OK)):
            raise SystemExit(f"not the answer that was expected: {chunk[:200]!r}")
        self.got += len(chunk)
        return self.got >= self.length

    def _first(self) -> int:
        self.socket.send(self.request)
        answer = b""
        while True:
            answer += self.socket.recv(CHUNK_BYTES)
            head, found, body = answer.partition(b"\r\n\r\n")
            if not answer.startswith(OK):
                raise SystemExit(f"not 200: {answer[:300]!r}")
            if found:
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                if len(body) >= length:
                    return len(head) + 4 + length


def hammer(lines: list[Line], seconds: float) -> list[float]:
    """Seconds that each answer took."""
    by_number = {line.socket.fileno(): line for line in lines}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    taken: list[float] = []
    until = time.perf_counter() + seconds
    for line in lines:
        line.send()
    while (now := time.perf_counter()) < until:
        for number, _ in poll.poll(1.0):
            line = by_number[number]
            if line.take():
                now = time.perf_counter()
                taken.append(now - line.sent_at)
                line.send()
    poll.close()
    return taken


def main() -> None:
    """Ask, hammer, tell."""
    wish = orjson.loads(sys.stdin.buffer.read())
    token = f"Authorization: Bearer {wish['token']}\r\n" if wish["token"] else ""
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{wish['port']}\r\n{token}\r\n".encode()
        for path in wish["paths"]
    ]
    lines = [
        Line(wish["port"], requests[number % len(requests)])
        for number in range(wish["connections"])
    ]
    cpu = time.process_time()
    taken = hammer(lines, wish["seconds"])
    told = {
        "per_second": len(taken) / wish["seconds"],
        "p50_ms": percentile(taken, 0.50) * 1_000,
        "p99_ms": percentile(taken, 0.99) * 1_000,
        "generator_cores": (time.process_time() - cpu) / wish["seconds"],
    }
    sys.stdout.buffer.write(orjson.dumps(told))


if __name__ == "__main__":
    main()
