"""The wire forms of Stripe's API: nested forms, error objects, ids, webhook signatures; no state.

Source: Stripe's API reference, the sections errors, idempotent requests, pagination, webhooks.
"""

import hashlib
import hmac
import json
import re
import secrets
import string
from typing import Any
from urllib.parse import parse_qsl

from sandbox.store import Value

CHANNEL = "card"
HOSTS = ("api.stripe.com",)
API_VERSION = "2026-10-28.endive"
MAX_FIELDS = 1000

Json = dict[str, Any]

_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_STEP = re.compile(r"\[([^\[\]]*)\]")


class StripeError(Exception):
    """A refusal as Stripe words it; `began` says whether its idempotency key is used up by it."""

    def __init__(
        self, status: int, kind: str, message: str, *, began: bool = True, **fields: object
    ) -> None:
        """Make a refusal; `fields` (code, decline_code, param, payment_intent) where they apply."""
        super().__init__(f"{status} {kind}")
        self.status = status
        self.began = began
        self.body: Json = {"error": {"message": message, "type": kind, **fields}}


def bad_request(message: str, *, began: bool = True, **fields: object) -> StripeError:
    """Return a 400 invalid_request_error."""
    return StripeError(400, "invalid_request_error", message, began=began, **fields)


def missing(what: str, key: str, param: str = "id") -> StripeError:
    """Return the 404 for an object that is not there, or is another account's."""
    return StripeError(
        404,
        "invalid_request_error",
        f"No such {what}: '{key}'",
        began=False,
        code="resource_missing",
        param=param,
    )


def parse_form(raw: bytes) -> Json:
    """Read `a[b][0]=c` into nested objects and lists; raises StripeError for what is none."""
    tree: Json = {}
    try:
        pairs = parse_qsl(
            raw.decode(),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise bad_request("Invalid request body", began=False) from error
    for name, value in pairs:
        match = _KEY.fullmatch(name)
        if match is None:
            raise bad_request(f"Invalid parameter name: {name}", began=False)
        *steps, last = [match[1], *_STEP.findall(match[2])]
        node = tree
        for step in steps:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                raise bad_request("Invalid hash", began=False, param=match[1])
        node[last or str(len(node))] = value
    return {name: _listed(value) for name, value in tree.items()}


def _listed(node: Any) -> Any:  # noqa: ANN401 (a tree of texts)
    if not isinstance(node, dict):
        return node
    values = {name: _listed(value) for name, value in node.items()}
    return list(values.values()) if all(name.isdigit() for name in values) else values


def make_id(prefix: str, length: int = 24) -> str:
    """Make an id like Stripe's: prefix, underscore, letters and digits."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def dump(value: object) -> bytes:
    """Serialise as Stripe does: indented, UTF-8."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode(errors="replace")


def shown(body: Json) -> Json:
    """Return the object without what the sandbox alone knows of it."""
    return {name: value for name, value in body.items() if not name.startswith("_")}


def signature(secret: str, timestamp: int, payload: bytes) -> str:
    """Return the `Stripe-Signature` header: HMAC-SHA256 over `timestamp.payload`, hex."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def request_hash(method: str, path: str, params: Json) -> Value:
    """Tell identical requests from others, whatever the order of their parameters."""
    canonical = json.dumps([method, path, params], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
