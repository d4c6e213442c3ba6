"""The one factory of Temporal clients; the lint lists who may use it."""

from typing import Protocol

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression

from workflows.kit.codec import EncryptionCodec
from workflows.kit.plugin import plugin


class Secret(Protocol):
    """A value that doesn't print itself."""

    def get_secret_value(self) -> str:
        """The value."""
        ...


class Surroundings(Protocol):
    """The part of `services.settings.Settings` that a client needs."""

    @property
    def temporal_address(self) -> str:
        """`host:port`."""
        ...

    @property
    def temporal_namespace(self) -> str:
        """Namespace of every call."""
        ...

    @property
    def temporal_api_key(self) -> Secret:
        """Empty: none."""
        ...

    @property
    def temporal_tls(self) -> bool:
        """Whether to speak TLS."""
        ...

    @property
    def payload_key(self) -> Secret:
        """Base64 of 32 bytes; older keys may follow, separated by commas."""
        ...

    @property
    def workflow_sandbox(self) -> bool:
        """Whether this client's workers run workflows in Temporal's sandbox."""
        ...


async def connect(settings: Surroundings, *, runtime: Runtime | None = None) -> Client:
    """A connected client whose workers inherit the same plugin.

    Raises:
        ValueError: the payload key is missing or malformed.
        RuntimeError: nobody answers at the address.
    """
    codec = EncryptionCodec.from_text(settings.payload_key.get_secret_value())
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=settings.temporal_api_key.get_secret_value() or None,
        tls=settings.temporal_tls,
        plugins=[plugin(codec, sandboxed=settings.workflow_sandbox)],
        runtime=runtime,
        # Ciphertext doesn't compress.
        grpc_compression=GrpcCompression.NONE,
    )
