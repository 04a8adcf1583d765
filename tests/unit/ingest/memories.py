"""Memories for tests: any that the contract accepts, with its limits reached, and any at all."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from reverie.memory.v1.memory_pb2 import Attachment, Memory, MemoryKind, OccurredPrecision, Place, Source
from services.ingest.validation import EARLIEST, LATEST, MAX_OFFSET, MAX_TEXT

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def texts(longest: int, shortest: int = 1, unlike: str = "") -> st.SearchStrategy[str]:
    """Texts of so many bytes of UTF-8, some of them as long as can be."""
    short = st.text(characters.filter(lambda each: each not in unlike), min_size=shortest, max_size=24)
    fitting = short.filter(lambda text: len(text.encode()) <= longest)
    return fitting | st.sampled_from(["x" * longest, "é" * (longest // 2)])


instants = st.builds(
    lambda seconds, microseconds: Timestamp(seconds=seconds, nanos=microseconds * 1000),
    st.integers(EARLIEST, LATEST - 1),
    st.integers(0, 999_999),
)
offsets = st.integers(-MAX_OFFSET // 60, MAX_OFFSET // 60).map(lambda minutes: Duration(seconds=minutes * 60))
degrees = st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))
kinds: st.SearchStrategy[Any] = st.sampled_from(MemoryKind.values())
precisions: st.SearchStrategy[Any] = st.sampled_from(OccurredPrecision.values())
digests = st.from_regex("sha256:[0-9a-f]{64}", fullmatch=True)
languages = st.from_regex("[A-Za-z0-9-]{0,35}", fullmatch=True)


@st.composite
def places(draw: st.DrawFn) -> Place:
    """Places with coordinates and without."""
    place = Place(name=draw(texts(256)))
    where = draw(degrees)
    if where is not None:
        place.latitude, place.longitude = where
    return place


sources = st.builds(
    Source, conversation=texts(128), speaker=texts(128, 0), position=st.integers(0, 2**31 - 1)
)
attachments = st.builds(
    Attachment, object=texts(512), media_type=texts(127, 3), size=st.integers(0, 2**40), digest=digests
)


@st.composite
def accepted(draw: st.DrawFn) -> Memory:
    """Memories that the contract accepts."""
    memory = Memory(
        text=draw(texts(MAX_TEXT)),
        kind=draw(kinds),
        occurred_at=draw(instants),
        occurred_precision=draw(precisions),
        people=draw(st.lists(texts(128, unlike="\x1f"), max_size=4)),
        labels=draw(st.lists(texts(64, unlike="\x1f"), max_size=4)),
        language=draw(languages),
        attachments=draw(st.lists(attachments, max_size=2)),
    )
    if draw(st.booleans()):
        memory.occurred_utc_offset.CopyFrom(draw(offsets))
    if draw(st.booleans()):
        memory.occurred_until.CopyFrom(max(memory.occurred_at, draw(instants), key=_order))
    if draw(st.booleans()):
        memory.place.CopyFrom(draw(places()))
    if draw(st.booleans()):
        memory.source.CopyFrom(draw(sources))
    return memory


_anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_int32 = st.integers(-(2**31), 2**31 - 1)
_int64 = st.integers(-(2**63), 2**63 - 1)
_float = st.none() | st.floats()
_times = st.builds(Timestamp, seconds=_int64, nanos=_int32)
_durations = st.builds(Duration, seconds=_int64, nanos=_int32)
_any_place = st.builds(Place, name=_anything, latitude=_float, longitude=_float)
_any_source = st.builds(Source, conversation=_anything, speaker=_anything, position=_int32)
_any_attachment = st.builds(Attachment, object=_anything, media_type=_anything, size=_int64, digest=_anything)


def anything() -> st.SearchStrategy[Memory]:
    """Memories as any client may send them, most of them broken."""
    return st.builds(
        Memory,
        text=_anything,
        kind=_int32 | st.integers(0, 5),
        occurred_at=st.none() | instants | _times,
        occurred_utc_offset=st.none() | offsets | _durations,
        occurred_precision=st.integers(-1, 6),
        occurred_until=st.none() | instants | _times,
        place=st.none() | _any_place,
        people=st.lists(_anything, max_size=3),
        labels=st.lists(_anything, max_size=3),
        source=st.none() | _any_source,
        language=_anything,
        attachments=st.lists(_any_attachment, max_size=2),
    )


def plain(**fields: Any) -> Memory:
    """A memory with little in it, that is accepted."""
    told: dict[str, Any] = {"text": "I adopted a cat.", "occurred_at": Timestamp(seconds=1_683_417_600)}
    return Memory(**told | fields)


def _order(instant: Timestamp) -> tuple[int, int]:
    return instant.seconds, instant.nanos
