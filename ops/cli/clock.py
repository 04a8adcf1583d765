"""Times as a person types and reads them."""

from datetime import UTC, date, datetime, timedelta, tzinfo

from reverie_client import Occurred, Precision

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def local_zone() -> tzinfo:
    """The zone of this machine, as its offset is now."""
    zone = datetime.now(UTC).astimezone().tzinfo
    assert zone is not None
    return zone


def typed(text: str, zone: tzinfo) -> Occurred:
    """What a person typed; an offset that is missing is the machine's. ValueError if it is no time."""
    return Occurred.parse(text, zone)


def beginning(text: str | None, zone: tzinfo) -> datetime | None:
    """The first instant of what was typed."""
    return None if text is None else typed(text, zone).at


def end(text: str | None, zone: tzinfo) -> datetime | None:
    """The first instant after what was typed; an instant is itself."""
    if text is None:
        return None
    occurred = typed(text, zone)
    at = occurred.at
    if occurred.precision is Precision.YEAR:
        return at.replace(year=at.year + 1)
    if occurred.precision is Precision.MONTH:
        return at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
    return at + timedelta(days=1) if occurred.precision is Precision.DAY else at


def day(text: str | None, zone: tzinfo) -> datetime:
    """Noon of the day that was typed, or of today."""
    on = datetime.now(zone).date() if text is None else date.fromisoformat(text)
    return datetime(on.year, on.month, on.day, 12, tzinfo=zone)


def shown(occurred: Occurred) -> str:
    """For a person: in the memory's own time, and no more of it than is known."""
    at = occurred.at
    month = MONTHS[at.month - 1]
    if occurred.precision is Precision.YEAR:
        return f"{at.year}"
    if occurred.precision is Precision.MONTH:
        return f"{month} {at.year}"
    on = f"{at.day} {month[:3]} {at.year}"
    return on if occurred.precision is Precision.DAY else f"{on} {at:%H:%M}"
