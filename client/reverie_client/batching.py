"""Cuts many creates into calls that Reverie takes."""

from collections.abc import Iterable, Iterator

from reverie.ingest.v1 import ingest_pb2

MAX_ITEMS = 1000
"""How many memories one call may hold."""
MAX_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""How many bytes one call may hold, with room for its parent and headers under the limit of 4 MiB."""
_FIELD_OVERHEAD = 6
"""A tag and a length of up to five bytes."""


def chunks(
    requests: Iterable[ingest_pb2.CreateMemoryRequest],
    max_items: int = MAX_ITEMS,
    max_bytes: int = MAX_BYTES,
) -> Iterator[list[ingest_pb2.CreateMemoryRequest]]:
    """The requests in order, in lists within both limits. One too large even alone is a list of its own."""
    chunk: list[ingest_pb2.CreateMemoryRequest] = []
    size = 0
    for request in requests:
        bytes_more = request.ByteSize() + _FIELD_OVERHEAD
        if chunk and (len(chunk) == max_items or size + bytes_more > max_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(request)
        size += bytes_more
    if chunk:
        yield chunk
