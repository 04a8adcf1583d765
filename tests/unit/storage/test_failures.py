"""What the database's failures mean."""

from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from services.runtime.errors import ReverieError, StoreDown, StoreFull, UnknownOutcome
from services.storage.commit import RefusedError, meaning
from services.storage.database import AWAY_DELAY, Address, Pool, error_of


def failure(state: str, severity: str = "ERROR") -> asyncpg.PostgresError:
    """A failure as the driver raises it."""
    made: asyncpg.PostgresError = asyncpg.PostgresError.new(
        {"C": state, "V": severity, "S": severity, "M": "m"}
    )
    return made


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (ConnectionRefusedError(), StoreDown),
        (FileNotFoundError(), StoreDown),
        (TimeoutError(), StoreDown),
        (asyncpg.InterfaceError("closed"), StoreDown),
        (failure("57P03"), StoreDown),
        (failure("53300"), StoreDown),
        (failure("25006"), StoreDown),
        (failure("55000"), StoreDown),
        (failure("53100"), StoreFull),
        (failure("40001"), StoreDown),
        (failure("42P01"), None),
        (failure("22021"), None),
        (ValueError(), None),
    ],
)
def test_a_database_that_is_away_or_full_is_told_from_faults(
    raised: Exception, error: type[ReverieError] | None
) -> None:
    found = error_of(raised)
    assert (None if found is None else type(found)) is error


@pytest.mark.parametrize(
    ("raised", "delay"),
    [(ConnectionRefusedError(), AWAY_DELAY), (failure("57P03"), AWAY_DELAY), (failure("40001"), None)],
)
def test_callers_are_told_to_wait_for_a_database_that_is_away_but_not_for_a_conflict(
    raised: Exception, delay: timedelta | None
) -> None:
    found = error_of(raised)
    assert found is not None
    assert found.retry_delay == delay


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (failure("22021"), RefusedError),
        (failure("23514"), RefusedError),
        (failure("54000"), RefusedError),
        (failure("53100"), StoreFull),
        (failure("40P01"), StoreDown),
        (failure("57P03", "FATAL"), StoreDown),
        (failure("57P01", "FATAL"), UnknownOutcome),
        (failure("53100", "PANIC"), UnknownOutcome),
        (asyncpg.ConnectionDoesNotExistError("gone"), UnknownOutcome),
    ],
)
def test_only_an_error_of_the_statement_says_that_nothing_was_written(
    raised: asyncpg.PostgresError, error: type[Exception]
) -> None:
    assert type(meaning(raised)) is error


def test_a_fault_of_ours_stays_what_it_is() -> None:
    fault = failure("42P01")
    assert meaning(fault) is fault


async def test_a_connection_that_the_pool_took_back_itself_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def is_closed(self) -> bool:
            raise asyncpg.InterfaceError("the connection has been released back to the pool")

    class Taken:
        async def acquire(self, timeout: float) -> Broken:  # noqa: ASYNC109  (the driver's own)
            return Broken()

        async def release(self, _connection: Broken) -> None:
            raise asyncpg.InternalClientError("called on a free connection holder")

    pool = Pool(Address(tmp_path, "reverie", tmp_path), "write", 1)
    monkeypatch.setattr(pool, "_pool", Taken())
    async with pool.acquired() as connection:
        assert connection
    with pytest.raises(UnknownOutcome):
        async with pool.acquired():
            raise UnknownOutcome
