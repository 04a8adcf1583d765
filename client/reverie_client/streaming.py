"""Keeps a stream of memories going: over lost edges, instances that stop, and JWTs that expire."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from datetime import timedelta

from reverie.ingest.v1 import ingest_pb2
from reverie_client import methods
from reverie_client.answers import Outcome
from reverie_client.calling import Caller, Exchanging
from reverie_client.content import NewMemory
from reverie_client.errors import ReverieError, Unreachable
from reverie_client.stream import Sending

OPENING_SECONDS = 5.0
"""How long the first word of a stream may take."""

SILENCE_SECONDS = 10.0
"""How long a stream may acknowledge nothing while something waits: then another one is begun."""

Request = ingest_pb2.StreamMemoriesRequest
Response = ingest_pb2.StreamMemoriesResponse
Settle = Callable[[NewMemory], NewMemory]
"""Gives a memory its id and time."""


class MemoryStream:
    """The creates of one list of memories. Used once."""

    def __init__(
        self, caller: Caller, user: str, settle: Settle, frame: int, patience: timedelta | None
    ) -> None:
        self._caller = caller
        self._user = user
        self._parent = f"users/{user}"
        self._settle = settle
        self._sending = Sending(self._parent, frame)
        self._frame = frame
        self._repeats = caller.repeats(methods.STREAM, patience)
        # Each is for one who waits: to send (for memories, and room), for room to take more, for outcomes.
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._news = asyncio.Event()

    async def outcomes(
        self, new: Iterable[NewMemory] | AsyncIterable[NewMemory]
    ) -> AsyncGenerator[Outcome, None]:
        """What became of each memory, in their order."""
        work = [asyncio.ensure_future(self._take(new)), asyncio.ensure_future(self._keep_going())]
        for each in work:
            each.add_done_callback(lambda _ended: self._news.set())
        try:
            while True:
                self._news.clear()
                for outcome in self._sending.outcomes():
                    yield outcome
                self._room.set()
                for each in work:
                    if each.done():
                        each.result()
                if self._sending.is_done:
                    return
                await self._news.wait()
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _take(self, new: Iterable[NewMemory] | AsyncIterable[NewMemory]) -> None:
        """Takes memories as there is room for them; after each frame others have a turn."""
        taken = 0
        async for each in _each(new):
            while not self._sending.has_room:
                self._room.clear()
                await self._room.wait()
            if not self._sending.is_waiting:
                self._repeats.progress()
            if self._sending.add(self._settle(each)):
                self._more.set()
            else:
                self._news.set()
            taken += 1
            if taken % self._frame == 0:
                await asyncio.sleep(0)
        self._sending.exhaust()
        self._more.set()
        self._news.set()

    async def _keep_going(self) -> None:
        """Begins a stream whenever something waits for one."""
        while not self._sending.is_done:
            if not self._sending.is_waiting:
                self._more.clear()
                await self._more.wait()
                continue
            stream = await self._caller.exchange(methods.STREAM)
            try:
                await self._converse(stream)
            except ReverieError as error:
                await self._recover(stream, error)
            finally:
                stream.exchange.cancel()

    async def _recover(self, stream: Exchanging[Response], error: ReverieError) -> None:
        """Returns when another stream is to be begun, else raises the error."""
        may_renew = self._caller.exchanged(stream, error)
        if may_renew and self._repeats.first_refusal():
            return
        if not self._sending.is_waiting:
            return
        if not await self._repeats.pause(error):
            raise error

    async def _converse(self, stream: Exchanging[Response]) -> None:
        """Sends and hears until all is acknowledged. Raises what ends the stream before."""
        try:
            async with asyncio.timeout(min(OPENING_SECONDS, self._repeats.left)):
                first = await stream.exchange.receive()
        except TimeoutError:
            raise Unreachable("nothing answered when the stream began") from None
        if first is not None:
            self._caller.exchanged(stream, None)
            self._sending.opened(first.window, takes_columns=first.takes_columns)
            self._room.set()
            await self._hear_all(stream)
        if not self._sending.is_done:
            raise Unreachable("the stream ended before everything was acknowledged")

    async def _hear_all(self, stream: Exchanging[Response]) -> None:
        sender: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(None) as silence:
                sender = asyncio.ensure_future(self._send(stream, silence))
                while (response := await stream.exchange.receive()) is not None:
                    self._hear(response)
                    silence.reschedule(None)
                    self._watch(silence)
        except TimeoutError:
            raise Unreachable("the stream acknowledges nothing any more") from None
        finally:
            if sender is not None:
                sender.cancel()
                await asyncio.wait((sender,))

    async def _send(self, stream: Exchanging[Response], silence: asyncio.Timeout) -> None:
        head = Request(parent=self._parent, takes_runs=True).SerializeToString()
        while True:
            self._more.clear()
            while frame := self._sending.frame():
                self._watch(silence)
                await stream.exchange.send(head + frame)
                head = b""
            if self._sending.is_all_sent:
                await stream.exchange.finish()
                return
            await self._more.wait()

    def _hear(self, response: Response) -> None:
        if response.results or response.runs:
            self._repeats.progress()
        if response.consistency_token:
            self._caller.sessions.learn(self._user, response.consistency_token)
        self._sending.acknowledge_runs(response.runs)
        again = self._sending.acknowledge(response.results)
        self._news.set()
        self._more.set()
        if again is not None:
            raise again

    def _watch(self, silence: asyncio.Timeout) -> None:
        """Begins to wait for acknowledgements, if there is something to wait for."""
        if silence.when() is None and self._sending.is_waiting:
            seconds = min(SILENCE_SECONDS, self._repeats.left)
            silence.reschedule(asyncio.get_running_loop().time() + seconds)


async def _each(new: Iterable[NewMemory] | AsyncIterable[NewMemory]) -> AsyncGenerator[NewMemory, None]:
    if isinstance(new, AsyncIterable):
        async for each in new:
            yield each
    else:
        for each in new:
            yield each
