"""RSA keys as channels and their merchants hold them, and what is signed with them."""

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256


def make_rsa_key() -> rsa.RSAPrivateKey:
    """Make a 2048-bit key, as merchants and channels use."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def load_rsa_key(pem: bytes) -> rsa.RSAPrivateKey:
    """Load a private key made by `make_rsa_key`."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not an RSA key")
    return key


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return its public half, which others verify with."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def sign(key: rsa.RSAPrivateKey, message: bytes) -> str:
    """RSASSA-PKCS1-v1_5 with SHA-256, base64."""
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()


def is_signed(key: rsa.RSAPublicKey, message: bytes, signature: str) -> bool:
    """Tell whether the base64 signature is right; a damaged one is simply wrong."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True
