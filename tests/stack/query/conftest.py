"""The query service before storage's search: over gRPC, with JWTs, on a real database."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import numpy as np
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from reverie.query.v1 import query_pb2
from reverie.storage.v1 import search_pb2_grpc
from services.query.memory import SpeakersByOwner, Vectors
from services.query.service import QueryService
from services.runtime import principal
from services.runtime.admission import Admission
from services.runtime.client import connect
from services.runtime.embedder import Vectors as Numbers
from services.runtime.interceptors import CallNumbers, Guard
from services.runtime.principal import ALGORITHM, AUDIENCE, ISSUER, Call, Principal, Verifier
from services.runtime.terms import question_terms
from services.storage.client import StorageSearchClient
from services.storage.database import Database
from tests.stack.search.harness import Search
from tests.stack.storage.harness import DIMENSIONS, TENANT, Context, Storage, context


class Words:
    """An embedder for which texts are near that share words; it stands for model 1."""

    name = "words"
    number = 1
    dimensions = DIMENSIONS

    def embed(self, texts: list[str]) -> Numbers:
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for term in question_terms(text):
                row[term.hash % self.dimensions] += 1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Numbers = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        return unit


class Issuer:
    """Issues JWTs of the test's tenant."""

    def __init__(self, directory: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.jwks = directory / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [public | {"kid": "k", "alg": ALGORITHM}]}))

    def bearer(self, user: str, seconds: float = 3_600) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now - timedelta(hours=2),
            "exp": now + timedelta(seconds=seconds),
            "tenant": str(TENANT),
            "user": user,
        }
        return "Bearer " + jwt.encode(claims, self._key, ALGORITHM, headers={"kid": "k"})


class Query:
    """The query service and short ways to call it."""

    def __init__(self, channel: grpc.aio.Channel, issuer: Issuer, storage: Storage) -> None:
        self.embedder = Words()
        self.now = datetime(2024, 5, 7, 12, tzinfo=UTC)
        self._issuer = issuer
        self.service = QueryService(
            StorageSearchClient(channel),
            storage.tokens,
            Vectors(self.embedder, ThreadPoolExecutor(1), 100),  # type: ignore[arg-type]
            SpeakersByOwner(100),
            lambda: self.now,
        )

    def enter(self, user: str, token: str | None = None, seconds: float = 3_600) -> None:
        """Makes a user the caller of what follows."""
        caller = Principal(TENANT, user, frozenset(), datetime.now(UTC) + timedelta(hours=1))
        principal.enter(Call(caller, self._issuer.bearer(user, seconds), token))

    async def search(self, query: str, user: str = "ana", **fields: Any) -> query_pb2.SearchMemoriesResponse:
        return (await self.search_with_token(query, user, **fields))[0]

    async def search_with_token(
        self, query: str, user: str = "ana", token: str | None = None, **fields: Any
    ) -> tuple[query_pb2.SearchMemoriesResponse, str]:
        """Searches; the answer and its consistency token."""
        self.enter(user, token)
        call = Context()
        request = query_pb2.SearchMemoriesRequest(parent=f"users/{user}", query=query, **fields)
        return await self.service.SearchMemories(request, context(call)), call.token

    async def on_this_day(self, user: str = "ana", **fields: Any) -> query_pb2.ListOnThisDayResponse:
        self.enter(user)
        request = query_pb2.ListOnThisDayRequest(parent=f"users/{user}", **fields)
        return await self.service.ListOnThisDay(request, context(Context()))

    async def analyse(self, storage: Storage) -> None:
        """Embeds everything that is due."""
        while due := await storage.claim():
            for one, vector in zip(due, self.embedder.embed([one.text for one in due]), strict=True):
                await storage.attach(one, vector=vector.tobytes())


@pytest.fixture
def storage(database: Database) -> Storage:
    """What writes and analyses."""
    return Storage(database)


@pytest_asyncio.fixture
async def query(database: Database, storage: Storage, tmp_path: Path) -> AsyncIterator[Query]:
    """The query service."""
    issuer = Issuer(tmp_path)
    home = Path(tempfile.mkdtemp(prefix="reverie-s-"))
    search = Search(database, storage)
    server = grpc.aio.server()
    guard = Guard(server, Verifier(issuer.jwks), lambda _api: Admission(1_000), CallNumbers())
    register: Callable[..., None] = search_pb2_grpc.add_StorageSearchServiceServicer_to_server
    register(search.service, guard)
    server.add_insecure_port(f"unix:{home / 'app.sock'}")
    await server.start()
    async with connect(home / "app.sock") as channel:
        yield Query(channel, issuer, storage)
    await server.stop(None)
    await search.close()
    shutil.rmtree(home)
