"""uvicorn's own connections: frames written without a task's turn, stalled clients let go.

ASGI sends one message of one connection at a time, each framed anew. A position goes to whoever
follows the rider as the same bytes; the event loop joins what one turn writes into one system call.
To close a connection is to wait for a client that may never read again: `let_go` does not.
"""

from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION = "paotui.frames"
"""In the scope's `extensions`, under our server."""
BEHIND_BYTES = 4_096
"""With more than this unsent the client is behind: its next position waits in the outbox."""
_TEXT = 0x81
_SHORT = 126
_MEDIUM = 65_536


def text_frame(payload: bytes) -> bytes:
    """A whole text message of a server (RFC 6455 §5.2: final, unmasked)."""
    size = len(payload)
    if size < _SHORT:
        return bytes((_TEXT, size)) + payload
    if size < _MEDIUM:
        return bytes((_TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big") + payload


class FrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's connection, which also takes frames as they are; it is its scope's extension."""

    def handle_connect(self, event: Request) -> None:
        """Offer the extension to the application."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions[EXTENSION] = self

    def write_frame(self, frame: bytes) -> bool:
        """Write now; False: the client is behind, or gone."""
        if (
            self.disconnected
            or self.close_sent
            or self.transport.is_closing()
            or self.transport.get_write_buffer_size() > BEHIND_BYTES
        ):
            return False
        self.transport.write(frame)
        return True

    def keepalive_timeout(self) -> None:
        """Whoever did not answer a ping in time doesn't read a goodbye either."""
        super().keepalive_timeout()
        self.transport.abort()


class AnswerProtocol(HttpToolsProtocol):
    """uvicorn's connection of requests, each of which has it as its scope's extension."""

    def on_message_begin(self) -> None:
        """Offer the extension to the application."""
        super().on_message_begin()
        cast("dict[str, object]", self.scope)["extensions"] = {EXTENSION: self}


def of(scope: object) -> FrameProtocol | None:
    """The WebSocket behind a scope, or None under another server."""
    found = _behind(scope)
    return found if isinstance(found, FrameProtocol) else None


def let_go(scope: object, seconds: float) -> None:
    """End the connection behind a scope, if by then it still has not ended, with what it holds."""
    found = _behind(scope)
    if isinstance(found, FrameProtocol | AnswerProtocol):
        found.loop.call_later(seconds, found.transport.abort)


def _behind(scope: object) -> object:
    extensions = cast("dict[str, dict[str, object]]", scope).get("extensions") or {}
    return extensions.get(EXTENSION)
