"""The gateway role: tails, producer, application and server of one process."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import uvicorn
from pydantic import SecretStr
from typing_extensions import override

from mesh.addresses import resolve
from mesh.auth import Tokens
from mesh.claims import ClaimChecks
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.dependencies import Dependencies
from mesh.errors import ConfigurationError, TransientError
from mesh.kafka import KafkaProducer, KafkaTail
from mesh.logs import get_logger
from mesh.process import Process
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from results.adapters.audit_trail import AuditTrail
from results.adapters.backlog import Backlog
from results.adapters.callback_targets import CallbackTargets
from results.adapters.claiming import ClaimingPublisher
from results.adapters.dependencies import registry_problem
from results.adapters.frame_requests import FrameRequests, SharedRecords
from results.adapters.frame_traces import FrameTraces
from results.adapters.gate import Gate
from results.adapters.gateway_metrics import GatewayMetrics
from results.adapters.http import create_app
from results.adapters.http_deps import GatewayDeps, GatewayPolicy
from results.adapters.http_edge import MAX_BODY
from results.adapters.live import LiveState, NameCache
from results.adapters.live_answers import Answers
from results.adapters.live_feed import BEGINNING, END, Feed
from results.adapters.live_hub import Hub
from results.adapters.name_service import within
from results.adapters.objects import ObjectStore
from results.adapters.pictures import FrameTail, LivePictures
from results.adapters.pillow_pictures import PillowPictures
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_audit import PostgresAuditOutbox
from results.adapters.postgres_gateway_cameras import PostgresCameras
from results.adapters.postgres_gateway_frames import PostgresFrameIdentifiers
from results.adapters.postgres_gateway_jobs import PostgresJobs
from results.adapters.postgres_gateway_ledger import PostgresLedger
from results.adapters.postgres_gateway_results import PostgresPersons, PostgresResults
from results.adapters.postgres_gateway_sessions import PostgresSessions
from results.adapters.postgres_gateway_statistics import PostgresStatistics
from results.adapters.publisher import MeshSender, ThreadPublisher
from results.adapters.pushes import Pushes
from results.adapters.request_metrics import RequestMetrics
from results.domain.admission import AdmissionPolicy, Load, load_of
from results.domain.callbacks import CallbackPolicy
from results.domain.models import KnownModel

_WAITING_MESSAGES = 4
"""Of one client, each as large as a picture may be."""
_RESOLVE_SECONDS = 2.0
_STOP_SECONDS = 5
_FOLLOW_SECONDS = 0.1
_THREADS = 32
_PING_SECONDS = 30
"""The specification's, 3.1.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """What main knows and a gateway needs."""

    dsn: str
    objects_url: str
    host: str
    port: int
    jwt_secret: SecretStr | None
    push_clients: int
    """So many may push pictures at once."""
    allow_file_sources: bool
    admission: AdmissionPolicy
    callbacks: CallbackPolicy
    callbacks_signed: bool
    """There is a secret that callbacks are signed with."""
    models: tuple[KnownModel, ...]
    """The models of the registry file."""
    mesh: MeshSettings


class Gateway:
    """Serves clients until the process is told to stop."""

    def __init__(
        self, *, config: GatewayConfig, process: Process, traces: FrameTraces | None = None
    ) -> None:
        """Build everything; nothing is contacted yet.

        Raises:
            ConfigurationError: A secret is missing.
        """
        self._config = config
        self._process = process
        mesh = config.mesh
        self._server: _Server | None = None
        process.health.ready["http"] = self._http_problem
        self._codec = AvroCodec(
            ConfluentRegistry(mesh.registry_url), mesh.topics, SchemaLibrary.packaged()
        )
        self._database = Database(config.dsn)
        self._objects = ObjectStore(config.objects_url)
        self._claims = ClaimChecks(config.objects_url)
        self._publisher = ThreadPublisher(
            MeshSender(
                self._codec, KafkaProducer(mesh.kafka_bootstrap, instance_id=mesh.instance_id)
            )
        )
        outbox = PostgresAuditOutbox(
            self._database, partial(self._codec.encode, mesh.topics("audit"))
        )
        self._audit = AuditTrail(
            self._publisher, mesh.topics("audit"), process.metrics.registry, keep=outbox.keep
        )
        self._backlog = Backlog(mesh)
        self._deps = self._build()
        self._feed = Feed(
            topics=mesh.topics,
            state=self._deps.state,
            names=self._deps.names,
            answers=self._deps.answers,
            hub=self._deps.hub,
            pushes=self._deps.pushes,
            observer=traces,
        )
        self._failure: Exception | None = None

    def run(self) -> None:
        """Serve until `process.stop` is set; blocks.

        Raises:
            ConfigurationError: The port is taken, or a topic does not exist.
        """
        with ExitStack() as stack:
            self._database.open()
            stack.callback(self._database.close)
            self._publisher.start()
            stack.callback(self._publisher.close)
            self._audit.start()
            stack.callback(self._audit.close)
            tails = [self._tail(BEGINNING, "beginning"), self._tail(END, "end")]
            tails.append(self._start("pictures", self._pictures().run))
            tails.append(self._start("backlog", self._backlog.run))
            tails.append(self._start("dependencies", self._dependencies().run))
            for thread in tails:
                stack.callback(thread.join, _STOP_SECONDS)
            stack.callback(self._process.stop.set)
            asyncio.run(self._serve())
        if self._failure is not None:
            raise self._failure

    def _build(self) -> GatewayDeps:
        config, mesh, clock = self._config, self._config.mesh, SystemClock()
        persons = PostgresPersons(self._database)
        results = PostgresResults(self._database)
        answers, editor = Answers(), PillowPictures()
        state = LiveState(decode=partial(self._codec.decode, mesh.topics("results")))
        frames = ClaimingPublisher(self._publisher, self._claims, editor)
        jobs = PostgresJobs(self._database)
        self._process.health.ready["database"] = partial(_database_problem, results)
        return GatewayDeps(
            cameras=PostgresCameras(
                self._database, lambda camera: self._codec.encode(mesh.topics("cameras"), camera)
            ),
            persons=persons,
            names=NameCache(persons),
            results=results,
            audit=self._audit,
            ledger=PostgresLedger(self._database),
            statistics=PostgresStatistics(self._database),
            sessions=PostgresSessions(self._database, clock),
            requests=FrameRequests(
                publisher=frames,
                answers=answers,
                records=SharedRecords(PostgresFrameIdentifiers(self._database), jobs),
                gate=self._gate(state, clock),
                topics=mesh.topics,
                clock=clock,
                instance_id=mesh.instance_id,
            ),
            jobs=jobs,
            callbacks=CallbackTargets(config.callbacks, enabled=config.callbacks_signed),
            state=state,
            hub=Hub(served := GatewayMetrics(self._process.metrics.registry)),
            metrics=served,
            answers=answers,
            pushes=Pushes(
                frames,
                mesh.topics,
                clock,
                instance_id=mesh.instance_id,
                limit=config.push_clients,
                metrics=served,
            ),
            pictures=LivePictures(),
            snapshots=self._objects,
            editor=editor,
            tokens=Tokens(config.jwt_secret),
            cipher=Cipher(mesh.secret_key),
            topics=mesh.topics,
            clock=clock,
            health=self._process.health,
            instance_id=mesh.instance_id,
            policy=GatewayPolicy(
                allow_file_sources=config.allow_file_sources, addresses=mesh.address_policy
            ),
            resolve=within(_RESOLVE_SECONDS, resolve),
            known_models=config.models,
        )

    def _gate(self, state: LiveState, clock: SystemClock) -> Gate:
        metrics = RequestMetrics(self._process.metrics.registry)
        return Gate(
            load=partial(self._load, state, metrics),
            monotonic=clock.monotonic,
            metrics=metrics,
            admission=self._config.admission,
        )

    def _load(self, state: LiveState, metrics: RequestMetrics) -> Load:
        now = SystemClock().now()
        load = load_of(state.models(), now, backlog=self._backlog.waiting)
        metrics.queue(load.queue)
        return load

    def _dependencies(self) -> Dependencies:
        """What may be away, looked at in the background: readiness answers at once."""
        config = self._config
        registry = partial(registry_problem, config.mesh.registry_url)
        found = Dependencies({"registry": registry, "object_store": self._objects.check})
        self._process.health.ready["broker"] = self._backlog.check
        self._process.health.partial |= found.checks
        return found

    def _pictures(self) -> FrameTail:
        return FrameTail(self._config.mesh, self._codec, self._deps.pictures, self._claims)

    def _tail(self, names: tuple[str, ...], start: Literal["beginning", "end"]) -> threading.Thread:
        mesh = self._config.mesh
        topics = [mesh.topics(name) for name in names]
        decodes = self._feed.decodes
        tail = KafkaTail(mesh, self._codec, topics=topics, start=start, decodes=decodes)
        self._process.health.ready[f"topics_{start}"] = lambda: (
            None if tail.caught_up.is_set() else f"still reading {', '.join(names)}"
        )
        return self._start(f"tail-{start}", partial(tail.run, self._feed.handle))

    def _start(self, name: str, run: Callable[[threading.Event], None]) -> threading.Thread:
        """A thread whose failure ends the process: a gateway that hears nothing is no gateway."""

        def guarded() -> None:
            try:
                run(self._process.stop)
            except BaseException as error:
                self._failure = error if isinstance(error, Exception) else None
                raise
            finally:
                self._process.stop.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        # A request waits for its acknowledgement in a thread; the default has one per core.
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "requests"))
        self._feed.attach(loop)
        config = self._config
        self._server = server = _Server(
            uvicorn.Config(
                create_app(self._deps),
                host=config.host,
                port=config.port,
                log_config=None,
                access_log=False,
                ws_max_size=MAX_BODY,
                ws_max_queue=_WAITING_MESSAGES,
                ws_ping_interval=_PING_SECONDS,
                # Events are short texts for many clients: a compressor for each would double what
                # one costs, in time and memory. A proxy may compress where the network is slow.
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=_STOP_SECONDS,
                server_header=False,
            )
        )
        watching = asyncio.create_task(self._follow(server))
        get_logger("results").info("gateway_listens", host=config.host, port=config.port)
        try:
            await server.serve()
        except SystemExit as error:
            message = f"SIGHTLINE_GATEWAY_PORT {config.port} on {config.host} cannot be opened"
            raise ConfigurationError(message) from error
        finally:
            watching.cancel()

    def _http_problem(self) -> str | None:
        started = self._server is not None and self._server.started
        return None if started else "not listening yet"

    async def _follow(self, server: uvicorn.Server) -> None:
        heartbeat = self._process.health.heartbeat("loop", limit_seconds=30)
        while not self._process.stop.is_set():
            heartbeat.beat()
            await asyncio.sleep(_FOLLOW_SECONDS)
        # The server would send clients away without a reason.
        await self._deps.pushes.stop()
        server.should_exit = True


class _Server(uvicorn.Server):
    """A server that leaves signals to the process, which sets `stop`."""

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _database_problem(results: PostgresResults) -> str | None:
    try:
        results.ping()
    except TransientError as error:
        return str(error)
    return None
