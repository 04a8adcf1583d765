import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reverie.storage.v1.write_pb2 import WriteBatchRequest, WriteBatchResponse, WriteResult
from services.ingest import bulk as bulk_lane
from services.ingest.batcher import Batcher
from services.ingest.bulk import Part
from services.ingest.lane import MAX_ROWS, Committed, Operation
from services.ingest.sending import ATTEMPT_SECONDS, BatchNumbers
from services.runtime import client, principal
from services.runtime.errors import (
    DeadlineTooShort,
    InternalError,
    Overloaded,
    PeerUnavailable,
    ReverieError,
    StoreDown,
    Unauthenticated,
    UnknownOutcome,
)
from tests.unit.ingest.callers import INES
from tests.unit.ingest.operations import operation, operations, owner, row, written
from tests.unit.ingest.skipping import run

OWNER = owner(1, "ines")


class Storage:
    """Answers each batch after a while, or as told."""

    def __init__(self, takes: float = 0.01) -> None:
        self.takes = takes
        self.answers: list[Callable[[WriteBatchRequest], WriteBatchResponse] | Exception] = []
        self.batches: list[tuple[float, int]] = []
        self.requests: list[bytes] = []
        self.at_once = 0
        self.most_at_once = 0

    async def send(self, request: WriteBatchRequest, seconds: float) -> WriteBatchResponse:
        self.batches.append((now(), len(operations(request))))
        self.requests.append(request.SerializeToString())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(self.takes)
        except TimeoutError:
            raise PeerUnavailable from None
        finally:
            self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else written
        if isinstance(answer, Exception):
            raise answer
        return answer(request)


def now() -> float:
    return asyncio.get_running_loop().time()


def batcher(storage: Storage, **settings: Any) -> Batcher:
    chosen: dict[str, Any] = {"lanes": 1, "bulk_lanes": 1, "queue_rows": 1000, "queue_bytes": 10**7}
    return Batcher(storage.send, **chosen | settings)


async def outcome(write: Awaitable[Committed]) -> Committed | ReverieError:
    try:
        return await write
    except ReverieError as error:
        return error


def test_one_write_alone_waits_for_nobody() -> None:
    async def main() -> None:
        storage = Storage()
        async with batcher(storage) as writes:
            committed = await writes.write(operation(), 5)
            assert committed.lineage == b"lineage"
        assert storage.batches == [(0, 1)]

    run(main())


def test_many_writes_at_once_cost_few_batches() -> None:
    async def main() -> None:
        storage = Storage()
        numbers = BatchNumbers()
        async with batcher(storage, numbers=numbers) as writes:
            await writes.write(operation(memory=0), 5)
            await asyncio.gather(*(writes.write(operation(memory=at), 5) for at in range(MAX_ROWS + 100)))
        assert [rows for _, rows in storage.batches] == [1, MAX_ROWS, 100]
        assert storage.most_at_once == 1
        assert 'reverie_ingest_batch_rows_count{sort="single"} 3' in list(numbers.rows.lines())

    run(main())


def test_lanes_share_no_owner_and_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        storage = Storage()
        lanes: dict[int, set[int]] = {}
        async with batcher(storage, lanes=4) as writes:

            async def of(owner: int) -> None:
                for memory in range(3):
                    await writes.write(operation(of=owner << 64, memory=memory), 5)

            await asyncio.gather(*(of(owner) for owner in range(40)))
        assert storage.most_at_once == 4
        for request in storage.requests:
            for each in WriteBatchRequest.FromString(request).owners:
                number = int.from_bytes(each.owner[:8])
                lanes.setdefault(number % 4, set()).add(number)
        assert sorted(len(owners) for owners in lanes.values()) == [10, 10, 10, 10]

    run(main())


def test_a_bulk_write_does_not_delay_a_single_one() -> None:
    async def main() -> None:
        storage = Storage(takes=1)
        rows = 2 * bulk_lane.IN_FLIGHT * bulk_lane.MAX_ROWS
        async with batcher(storage, queue_rows=rows) as writes:
            with writes.bulk(OWNER, rows, 1000, 30) as bulk:
                group = bulk.submit([row(memory=at) for at in range(rows)])
                await asyncio.sleep(0.5)
                await writes.write(operation(memory=1), 5)
                assert now() == 1.5
                await bulk.answered()
            assert now() == 2
        assert {type(each) for each in group.outcomes} == {WriteResult}

    run(main())


@pytest.mark.parametrize("failure", [UnknownOutcome(), PeerUnavailable()])
def test_the_same_batch_is_sent_again_until_it_is_known_what_happened(failure: ReverieError) -> None:
    async def main() -> None:
        storage = Storage()
        storage.answers = [failure, failure, failure]
        async with batcher(storage) as writes:
            first = asyncio.ensure_future(writes.write(operation(memory=1), 5))
            await asyncio.sleep(0)
            second = asyncio.ensure_future(writes.write(operation(memory=2), 5))
            assert isinstance(await first, Committed)
            assert isinstance(await second, Committed)
        assert len(set(storage.requests[:4])) == 1
        assert [rows for _, rows in storage.batches] == [1, 1, 1, 1, 1]

    run(main())


def test_each_caller_leaves_at_its_own_deadline_and_the_batch_at_the_latest() -> None:
    async def main() -> None:
        storage = Storage(takes=0)
        storage.answers = [UnknownOutcome()] * 1000
        left: dict[float, tuple[float, ReverieError | Committed]] = {}
        async with batcher(storage) as writes:

            async def caller(memory: int, seconds: float) -> None:
                result = await outcome(writes.write(operation(memory=memory), seconds))
                left[seconds] = now(), result

            await asyncio.gather(*(caller(at, seconds) for at, seconds in enumerate((1.0, 3.0, 8.0))))
        assert {seconds: at for seconds, (at, _) in left.items() if seconds < 8} == {1: 1, 3: 3}
        assert 7 < left[8][0] <= 8
        assert all(isinstance(result, UnknownOutcome) for _, result in left.values())
        assert max(at for at, _ in storage.batches) > 7

    run(main())


def test_a_storage_process_that_is_frozen_does_not_hold_up_a_lane_until_its_callers_leave() -> None:
    async def main() -> None:
        storage = Storage(takes=1000)
        async with batcher(storage) as writes:
            first = asyncio.ensure_future(outcome(writes.write(operation(memory=1), 60)))
            await asyncio.sleep(1)
            second = asyncio.ensure_future(outcome(writes.write(operation(memory=2), 60)))
            storage.takes = 0.01
            assert isinstance(await first, Committed)
            assert isinstance(await second, Committed)
            assert now() < 1.1 * ATTEMPT_SECONDS

    run(main())


def test_a_batch_that_needs_longer_gets_longer() -> None:
    async def main() -> None:
        storage = Storage(takes=4 * ATTEMPT_SECONDS)
        async with batcher(storage) as writes:
            assert isinstance(await writes.write(operation(), 60), Committed)
        assert now() < 10 * ATTEMPT_SECONDS

    run(main())


def test_a_write_that_was_never_sent_did_not_happen() -> None:
    async def main() -> None:
        storage = Storage(takes=2.5)
        async with batcher(storage) as writes:
            first = asyncio.ensure_future(outcome(writes.write(operation(memory=1), 20)))
            await asyncio.sleep(1)
            second = await outcome(writes.write(operation(memory=2), 1))
            assert now() == 2
            assert isinstance(second, DeadlineTooShort)
            assert isinstance(await first, Committed)
        assert [rows for _, rows in storage.batches] == [1]

    run(main())


def test_a_write_that_hangs_ends_unknown_at_its_deadline() -> None:
    async def main() -> None:
        storage = Storage(takes=100)
        async with batcher(storage) as writes:
            assert isinstance(await outcome(writes.write(operation(), 2)), UnknownOutcome)
            assert now() == 2
            storage.takes = 0
            assert isinstance(await outcome(writes.write(operation(), 2)), Committed)

    run(main())


def test_a_caller_that_is_cancelled_takes_nothing_from_the_others() -> None:
    async def main() -> None:
        storage = Storage(takes=1)
        async with batcher(storage) as writes:
            tasks = [asyncio.ensure_future(writes.write(operation(memory=at), 5)) for at in range(4)]
            twin = asyncio.ensure_future(writes.write(operation(memory=1), 5))
            await asyncio.sleep(0.5)
            tasks[1].cancel()
            tasks[2].cancel()
            ended = await asyncio.gather(*tasks, twin, return_exceptions=True)
        assert [type(each) for each in ended] == [
            Committed,
            asyncio.CancelledError,
            asyncio.CancelledError,
            Committed,
            Committed,
        ]
        assert [rows for _, rows in storage.batches] == [4]

    run(main())


def test_a_caller_that_is_cancelled_before_its_turn_sends_nothing() -> None:
    async def main() -> None:
        storage = Storage(takes=1)
        async with batcher(storage) as writes:
            first = asyncio.ensure_future(writes.write(operation(memory=1), 5))
            await asyncio.sleep(0.5)
            second = asyncio.ensure_future(writes.write(operation(memory=2), 5))
            await asyncio.sleep(0.1)
            second.cancel()
            await first
        assert [rows for _, rows in storage.batches] == [1]

    run(main())


def test_a_caller_that_is_cancelled_as_its_answer_comes_disturbs_nobody() -> None:
    async def main() -> None:
        storage = Storage()
        async with batcher(storage) as writes:
            tasks = [asyncio.ensure_future(writes.write(operation(memory=at), 5)) for at in range(3)]

            def cancelling(request: WriteBatchRequest) -> WriteBatchResponse:
                tasks[0].cancel()
                return written(request)

            storage.answers = [cancelling]
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError, Committed, Committed]

    run(main())


def test_a_plain_refusal_is_told_to_everyone_at_once() -> None:
    async def main() -> None:
        storage = Storage()
        storage.answers = [StoreDown()]
        async with batcher(storage) as writes:
            told = await asyncio.gather(*(outcome(writes.write(operation(memory=at), 5)) for at in range(3)))
        assert [type(each) for each in told] == [StoreDown] * 3
        assert len(storage.batches) == 1

    run(main())


@pytest.mark.parametrize("failure", [ZeroDivisionError(), lambda _request: WriteBatchResponse()])
def test_a_failure_of_ours_ends_its_batch_and_not_the_lane(
    failure: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        storage = Storage()
        storage.answers = [failure]
        async with batcher(storage) as writes:
            assert isinstance(await outcome(writes.write(operation(), 5)), InternalError)
            assert isinstance(await outcome(writes.write(operation(), 5)), Committed)

    run(main())
    assert "a batch failed" in capsys.readouterr().out


def test_more_than_there_is_room_for_is_refused_with_a_delay() -> None:
    async def main() -> None:
        storage = Storage(takes=1)
        async with batcher(storage, queue_rows=3) as writes:
            tasks = [asyncio.ensure_future(writes.write(operation(memory=at), 5)) for at in range(3)]
            await asyncio.sleep(0)
            refused = await outcome(writes.write(operation(memory=9), 5))
            assert isinstance(refused, Overloaded)
            assert refused.retry_delay is not None
            await asyncio.gather(*tasks)
            assert isinstance(await outcome(writes.write(operation(memory=9), 5)), Committed)

    run(main())


def test_room_is_counted_in_bytes_too() -> None:
    async def main() -> None:
        async with batcher(Storage(), queue_bytes=1000) as writes:
            assert isinstance(await outcome(writes.write(operation(size=2000), 5)), Overloaded)
            assert isinstance(await outcome(writes.write(operation(size=500), 5)), Committed)
            assert isinstance(await outcome(writes.write(operation(size=500), 5)), Committed)

    run(main())


def test_a_bulk_write_has_room_for_all_of_it_or_none() -> None:
    async def main() -> None:
        async with batcher(Storage(), queue_rows=100) as writes:
            with writes.bulk(OWNER, 60, 1, 5), pytest.raises(Overloaded), writes.bulk(OWNER, 60, 1, 5):
                pass
            with writes.bulk(OWNER, 100, 1, 5):
                pass

    run(main())


def test_who_waits_for_room_has_it_in_turn_and_is_not_overtaken() -> None:
    async def main() -> None:
        async with batcher(Storage(), queue_rows=100) as writes:
            first = writes.bulk(OWNER, 60, 1, 30)
            second = asyncio.ensure_future(writes.bulk_in_turn(OWNER, 60, 1, 30))
            third = asyncio.ensure_future(writes.bulk_in_turn(OWNER, 10, 1, 30))
            await asyncio.sleep(1)
            with pytest.raises(Overloaded):
                writes.bulk(OWNER, 1, 1, 5)
            assert not third.done()
            first.end()
            (await second).end()
            (await third).end()
            writes.bulk(OWNER, 100, 1, 5).end()

    run(main())


def test_who_waits_for_room_too_long_or_leaves_takes_none_and_holds_nobody_up() -> None:
    async def main() -> None:
        async with batcher(Storage(), queue_rows=100) as writes:
            first = writes.bulk(OWNER, 60, 1, 30)
            late = asyncio.ensure_future(writes.bulk_in_turn(OWNER, 60, 1, 2))
            gone = asyncio.ensure_future(writes.bulk_in_turn(OWNER, 60, 1, 30))
            small = asyncio.ensure_future(writes.bulk_in_turn(OWNER, 30, 1, 30))
            await asyncio.sleep(1)
            gone.cancel()
            with pytest.raises(Overloaded):
                await late
            (await small).end()
            assert now() == 2
            first.end()
            writes.bulk(OWNER, 100, 1, 5).end()

    run(main())


def test_items_of_a_bulk_write_tell_apart_what_was_sent_and_what_was_not() -> None:
    async def main() -> None:
        storage = Storage(takes=2)
        heard: list[Part] = []
        sent = bulk_lane.MAX_ROWS
        async with batcher(storage, queue_rows=5000) as writes:
            with writes.bulk(OWNER, 5 * sent, 1, 3) as bulk:
                group = bulk.submit([row(memory=at) for at in range(5 * sent)], heard.append)
                await bulk.answered()
            assert now() == 3
        kinds = [type(each) for each in group.outcomes]
        assert kinds[: 2 * sent] == [WriteResult] * 2 * sent
        assert kinds[2 * sent : 4 * sent] == [UnknownOutcome] * 2 * sent
        assert kinds[4 * sent :] == [DeadlineTooShort] * sent
        assert [(part.start, part.stop) for part in heard] == [
            (0, sent), (sent, 2 * sent), (2 * sent, 4 * sent), (4 * sent, 5 * sent),
        ]  # fmt: skip

    run(main())


def test_items_that_come_after_the_deadline_do_not_wait_for_their_turn() -> None:
    async def main() -> None:
        storage = Storage(takes=2)
        async with batcher(storage) as writes:
            with writes.bulk(OWNER, 2, 1, 1) as bulk:
                first = bulk.submit([row(memory=1)])
                await asyncio.sleep(1.5)
                second = bulk.submit([row(memory=2)])
                await bulk.answered()
                assert now() == 1.5
        assert [type(each) for each in (*first.outcomes, *second.outcomes)] == [
            UnknownOutcome,
            DeadlineTooShort,
        ]
        assert [rows for _, rows in storage.batches] == [1]

    run(main())


def test_a_bulk_write_that_is_given_up_leaves_nothing_waiting() -> None:
    async def main() -> None:
        storage = Storage(takes=1)
        sent = bulk_lane.MAX_ROWS
        async with batcher(storage, queue_rows=5000) as writes:
            with writes.bulk(OWNER, 4 * sent, 1, 30) as bulk:
                bulk.submit([row(memory=at) for at in range(4 * sent)])
                await asyncio.sleep(0.5)
        assert [rows for _, rows in storage.batches] == [sent, sent]
        assert now() == 1

    run(main())


def test_what_was_answered_is_gone_without_a_collector_of_cycles() -> None:
    async def main() -> None:
        async with batcher(Storage()) as writes:
            with writes.bulk(OWNER, 2, 1, 30) as bulk:
                bulk.submit([row(memory=at) for at in range(2)])
                await bulk.answered()
            ended = weakref.ref(bulk)
            del bulk
            assert ended() is None

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_bulk_does_not_slow_down_because_writes_have_failed_quickly_before() -> None:
    async def main() -> None:
        storage = Storage(takes=0.0001)
        async with batcher(storage, queue_rows=20_000) as writes:
            storage.answers = [StoreDown() for _ in range(100)]
            for _ in range(100):
                assert isinstance(await outcome(writes.write(operation(), 5)), StoreDown)
            storage.takes, began, batches = 0.02, now(), 20
            rows = batches * bulk_lane.MAX_ROWS

            async def one_after_the_other() -> None:
                while True:
                    await writes.write(operation(), 5)

            others = asyncio.ensure_future(one_after_the_other())
            with writes.bulk(OWNER, rows, 1, 30) as bulk:
                bulk.submit([row(memory=at) for at in range(rows)])
                await bulk.answered()
            assert now() - began == pytest.approx(storage.takes * batches / bulk_lane.IN_FLIGHT, rel=0.1)
            others.cancel()
            await asyncio.wait((others,))

    run(main())


def test_bulk_does_not_slow_down_for_long_where_writes_take_long_by_themselves() -> None:
    async def main() -> None:
        storage = Storage(takes=0.03)
        async with batcher(storage, queue_rows=100_000) as writes:
            rows, alone = 80 * bulk_lane.MAX_ROWS, 80 * storage.takes / bulk_lane.IN_FLIGHT

            async def now_and_then() -> None:
                while True:
                    await writes.write(operation(), 5)
                    await asyncio.sleep(0.2)

            others = asyncio.ensure_future(now_and_then())
            with writes.bulk(OWNER, rows, 1, 60) as bulk:
                bulk.submit([row(memory=at) for at in range(rows)])
                await bulk.answered()
            assert alone < now() < 4 * alone
            others.cancel()
            await asyncio.wait((others,))

    run(main())


def test_the_end_waits_until_every_batch_is_answered() -> None:
    async def main() -> None:
        storage = Storage(takes=1)
        async with batcher(storage) as writes:
            tasks = [asyncio.ensure_future(writes.write(operation(memory=at), 30)) for at in range(600)]
            await asyncio.sleep(0.1)
        assert now() == 3
        assert {type(ended) for ended in await asyncio.gather(*tasks)} == {Committed}

    run(main())


def test_a_lane_acts_in_nobodys_name() -> None:
    async def send(request: WriteBatchRequest, _seconds: float) -> WriteBatchResponse:
        with pytest.raises(Unauthenticated):
            client.forwarded()
        return written(request)

    async def main() -> None:
        principal.enter(INES)
        async with Batcher(send, lanes=1, bulk_lanes=1, queue_rows=9, queue_bytes=999) as writes:
            await writes.write(operation(), 5)

    run(main())


def test_operations_know_their_size() -> None:
    assert Operation(operation().owner, operation().change, b"x").size >= operation().change.ByteSize()
