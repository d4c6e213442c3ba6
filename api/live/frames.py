"""WebSocket frames on uvicorn's own connection: prebuilt once, written without a task's turn.

ASGI sends one message of one connection at a time, each framed anew. A position goes to whoever
follows the rider as the same bytes; the event loop joins what one turn writes into one system call.
"""

from typing import cast

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

    def abort(self) -> None:
        """Let go of a client that takes nothing, with what it did not take."""
        self.transport.abort()


def of(scope: object) -> FrameProtocol | None:
    """The connection behind a scope, or None under another server."""
    extensions = cast("dict[str, dict[str, object]]", scope).get("extensions") or {}
    found = extensions.get(EXTENSION)
    return found if isinstance(found, FrameProtocol) else None
