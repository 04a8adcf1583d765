"""Memories as JSON, in the names of the import format, with what Reverie adds."""

from datetime import datetime, timedelta
from typing import Any

from reverie_client import Attachment, Explanation, Hit, Memory, Place, Precision, Source
from reverie_client.times import offset_of

Json = dict[str, Any]


def memory_json(memory: Memory) -> Json:
    """A memory; what it does not have is left out."""
    occurred = memory.occurred
    coarse = occurred.precision is not Precision.INSTANT
    return _without_empty(
        {
            "id": str(memory.id),
            "name": memory.name,
            "occurred_at": occurred.isoformat(),
            "utc_offset": _offset(occurred.at) if coarse and offset_of(occurred.at) else None,
            "occurred_until": _time(memory.occurred_until),
            "kind": memory.kind.value,
            "text": memory.text,
            "place": _place(memory.place),
            "people": list(memory.people),
            "labels": list(memory.labels),
            "language": memory.language,
            "source": _source(memory.source),
            "attachments": [_attachment(attachment) for attachment in memory.attachments],
            "revision": memory.revision,
            "etag": memory.etag,
            "create_time": _time(memory.create_time),
            "update_time": _time(memory.update_time),
            "analysis": [
                _without_empty({"stage": r.stage, "model": r.model, "dimensions": r.dimensions})
                for r in memory.analysis
            ],
        }
    )


def hit_json(hit: Hit) -> Json:
    """A hit: its memory, score, neighbours and reasons."""
    return {
        "memory": memory_json(hit.memory),
        "score": hit.score,
        **_without_empty(
            {
                "before": [memory_json(memory) for memory in hit.before],
                "after": [memory_json(memory) for memory in hit.after],
                "why": None if hit.explanation is None else why_json(hit.explanation),
            }
        ),
    }


def why_json(why: Explanation) -> Json:
    """Why a hit is there."""
    return {
        "lexical_rank": why.lexical_rank,
        "vector_rank": why.vector_rank,
        "matched_words": list(why.matched_words),
        "words_score": why.words_score,
        "meaning_score": why.meaning_score,
        "speaker_score": why.speaker_score,
        "time_score": why.time_score,
        "prior_score": why.prior_score,
    }


def seconds_json(age: timedelta | None) -> float | None:
    """A duration in seconds."""
    return None if age is None else round(age.total_seconds(), 3)


def _place(place: Place | None) -> Json | None:
    if place is None:
        return None
    return _without_empty({"name": place.name, "latitude": place.latitude, "longitude": place.longitude})


def _source(source: Source | None) -> Json | None:
    if source is None:
        return None
    speaker = {"speaker": source.speaker} if source.speaker else {}
    return {"conversation": source.conversation, **speaker, "position": source.position}


def _attachment(attachment: Attachment) -> Json:
    return {
        "object": attachment.object,
        "media_type": attachment.media_type,
        "size": attachment.size,
        "digest": attachment.digest,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _offset(at: datetime) -> str:
    return at.isoformat()[-6:]


def _without_empty(value: Json) -> Json:
    return {key: each for key, each in value.items() if each is not None and each != [] and each != ""}
