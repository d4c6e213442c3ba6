"""The sandbox's internet: its authority, its CONNECT proxy, and the way to public names."""

import asyncio
import ssl
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CA_LIFETIME = timedelta(days=3650)
_SERVER_LIFETIME = timedelta(days=820)
_RENEW_BEFORE = timedelta(days=30)
_CLOCK_TOLERANCE = timedelta(hours=1)
_CONNECT_HEAD_BYTES = 8192
_CONNECT_TIMEOUT_SECONDS = 10.0
_CHUNK_BYTES = 65536

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def write_private(path: Path, content: bytes) -> None:
    """Write a file only its owner may read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)


def private_pem(key: PrivateKey) -> bytes:
    """Return the key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class Authority:
    """A certificate authority of its own, kept in the home folder as `ca.pem` and `ca.key`."""

    def __init__(self, home: Path) -> None:
        """Load the authority, or make one on first start."""
        self._tls = home / "tls"
        self._tls.mkdir(parents=True, exist_ok=True)
        self.certificate_path = home / "ca.pem"
        key_path = home / "ca.key"
        if key_path.exists() and self.certificate_path.exists():
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError("ca.key is not an elliptic curve key")
            self._key = key
            self._certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._self_signed()
        write_private(key_path, private_pem(self._key))
        self.certificate_path.write_bytes(
            self._certificate.public_bytes(serialization.Encoding.PEM)
        )

    def server_files(self, file_name: str, hosts: Collection[str]) -> tuple[Path, Path]:
        """Return (certificate, key) files for the hosts, made or renewed where needed."""
        certificate_path = self._tls / f"{file_name}.pem"
        key_path = self._tls / f"{file_name}.key"
        if certificate_path.exists() and key_path.exists():
            known = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            fresh = known.not_valid_after_utc - datetime.now(UTC) > _RENEW_BEFORE
            if fresh and known.issuer == self._certificate.subject and _names(known) == {*hosts}:
                return certificate_path, key_path
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(host) for host in hosts]
        certificate = self.issue(
            subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0].value)]),
            public_key=key.public_key(),
            lifetime=_SERVER_LIFETIME,
            extensions=[
                x509.SubjectAlternativeName(names),
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            ],
        )
        write_private(key_path, private_pem(key))
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return certificate_path, key_path

    def issue(
        self,
        *,
        subject: x509.Name,
        public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
        lifetime: timedelta,
        serial_number: int | None = None,
        extensions: Iterable[x509.ExtensionType] = (),
    ) -> x509.Certificate:
        """Sign a certificate that is no authority itself."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(serial_number or x509.random_serial_number())
            .not_valid_before(now - _CLOCK_TOLERANCE)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _self_signed(self) -> x509.Certificate:
        now = datetime.now(UTC)
        public_key = self._key.public_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sandbox Root CA")])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_TOLERANCE)
            .not_valid_after(now + _CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _names(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(found.value.get_values_for_type(x509.DNSName))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectProxy:
    """A CONNECT proxy that leads the known hosts to one local port and refuses all others."""

    hosts: frozenset[str]
    target_port: int
    _near: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, port: int) -> asyncio.Server:
        """Start listening on 127.0.0.1."""
        return await asyncio.start_server(self._handle, "127.0.0.1", port)

    def cut(self) -> None:
        """End every tunnel: clients keep theirs open, and nothing behind them could close."""
        for writer in self._near:
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._near.add(writer)
        try:
            await self._lead(reader, writer)
        finally:
            self._near.discard(writer)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A peer that goes away in mid-sentence is the ordinary end of a tunnel.
        with suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                refusal = self._refusal(head)
                if refusal is None:
                    far = await asyncio.open_connection("127.0.0.1", self.target_port)
            if refusal is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _tunnel((reader, writer), far)
            else:
                writer.write(refusal)
                await writer.drain()
        writer.close()

    def _refusal(self, head: bytes) -> bytes | None:
        method, _, rest = head.partition(b" ")
        authority = rest.partition(b" ")[0].decode("latin-1").lower()
        host, _, port = authority.rpartition(":")
        if len(head) > _CONNECT_HEAD_BYTES or method != b"CONNECT":
            status = b"405 Method Not Allowed"
        elif host not in self.hosts or port != "443":
            status = b"403 Forbidden"
        else:
            return None
        return b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _tunnel(near: _Stream, far: _Stream) -> None:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        # Both ends of a TLS tunnel close as one: there is no half-open conversation.
        writer.close()

    await asyncio.gather(copy(near[0], far[1]), copy(far[0], near[1]))


class PublicInternet:
    """Reaches merchants' servers under their public names, https only, by the sandbox's CA."""

    def __init__(self, *, ca_path: Path, public_map: Mapping[str, tuple[str, int]]) -> None:
        """Prepare the client; `public_map` says where each public name really listens."""
        self._places = public_map
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=str(ca_path)),
            trust_env=False,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    async def post(
        self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, bytes] | None:
        """POST to a public https URL; status and body answered, or None without an answer."""
        try:
            parts = httpx.URL(url)
            place = self._places.get(parts.host)
            if place is None:
                return None
            address = parts.copy_with(host=place[0], port=place[1])
            async with asyncio.timeout(timeout_seconds):
                answer = await self._client.post(
                    address,
                    content=content,
                    headers={**headers, "Host": parts.netloc.decode("ascii")},
                    timeout=timeout_seconds,
                    extensions={"sni_hostname": parts.host},
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return None
        return answer.status_code, answer.content

    async def close(self) -> None:
        """Close the connections kept open."""
        await self._client.aclose()
