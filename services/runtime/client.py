"""Calls to other services: out through the own proxy, in the name of the caller."""

from pathlib import Path

import grpc

from services.runtime import principal
from services.runtime.tokens import METADATA_KEY

MAX_REQUEST_BYTES = 5 * 1024 * 1024
"""The largest request: the contracts' 4 MiB, and what ingest adds to a batch of that size."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The largest answer: 200 memories by their names, or a page of hits with their neighbours."""

MAX_METADATA_BYTES = 32 * 1024
"""The largest headers or trailers that are taken in: a JWT, a token, and an error with its fields."""

_METADATA_OPTIONS = (
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
)

SERVER_OPTIONS = (
    *_METADATA_OPTIONS,
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
    ("grpc.so_reuseport", 0),
    # Its proxy and the control plane ping to notice when it freezes; by default that is taken for an attack.
    ("grpc.http2.max_ping_strikes", 0),
)
"""What a server is made with: the limits that its callers know."""

_CHANNEL_OPTIONS = (
    *_METADATA_OPTIONS,
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # The proxy repeats calls, within its budget; a second loop here would multiply them.
    ("grpc.enable_retries", 0),
    # Its socket is local: it is back as soon as the proxy is.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)


def connect(egress_socket: Path) -> grpc.aio.Channel:
    """A channel to every service that this one may call, by its proxy's Unix socket.

    Connects when it is first used.
    """
    return grpc.aio.insecure_channel(f"unix:{egress_socket}", options=_CHANNEL_OPTIONS)


def forwarded() -> tuple[tuple[str, str], ...]:
    """Metadata that makes a call one in the name of the caller: its JWT and its consistency token.

    Unauthenticated where no call with a JWT is under way.
    """
    call = principal.call()
    if call.token is None:
        return (("authorization", call.authorization),)
    return ("authorization", call.authorization), (METADATA_KEY, call.token)
