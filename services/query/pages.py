"""Page tokens of query: storage's token, bound to the request that it continues."""

import hmac
from hashlib import blake2b

from google.protobuf.message import Message

from services.runtime.errors import TokenInvalid
from services.runtime.tokens import Tokens

_DIGEST_BYTES = 16
_MARK = "."


def bound(request: Message) -> bytes:
    """Return what stays the same from page to page: the request without its page token and size."""
    fields = type(request)()
    fields.CopyFrom(request)
    fields.ClearField("page_token")
    fields.ClearField("page_size")
    return fields.SerializeToString(deterministic=True)


def sealed(tokens: Tokens, kind: str, request: bytes, inner: str, carried: bytes = b"") -> str:
    """Return a token of that kind for a request of storage's token `inner` and some bytes of ours.

    Empty if `inner` is: there is no next page.
    """
    if not inner:
        return ""
    return tokens.seal(kind, _digest(request, inner) + carried) + _MARK + inner


def opened(tokens: Tokens, kind: str, request: bytes, token: str) -> tuple[str, bytes]:
    """Return storage's token and our bytes. TokenInvalid if the token is not ours or of another request."""
    outer, mark, inner = token.partition(_MARK)
    payload = tokens.open(kind, outer)
    digest, carried = payload[:_DIGEST_BYTES], payload[_DIGEST_BYTES:]
    if not mark or not hmac.compare_digest(digest, _digest(request, inner)):
        raise TokenInvalid
    return inner, carried


def _digest(request: bytes, inner: str) -> bytes:
    bound = b"%d\0%b%b" % (len(request), request, inner.encode())
    return blake2b(bound, digest_size=_DIGEST_BYTES).digest()
