"""`PublisherContext`: the registry, broker, settings and clock of an operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from protocol.errors import MissingPart
from protocol.topics import Topics
from protocol.trust.authority import Authority
from publisher.adapters.broker_client import BrokerClient
from publisher.adapters.registry import Registry
from publisher.operations.progress import Progress, SilentProgress
from publisher.settings import TOPIC_ROOT, Settings

ROOT_SETTING = "topic_root"  # of the registry


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class PublisherContext:
    """Dependencies of an operation. `connection` is None without a broker."""

    registry: Registry
    topics: Topics
    settings: Settings
    progress: Progress = field(default_factory=SilentProgress)
    clock: Callable[[], datetime] = utc_now
    connection: BrokerClient | None = None

    @property
    def broker(self) -> BrokerClient:
        assert self.connection is not None, "this context was opened without a broker"
        return self.connection

    @property
    def broker_id(self) -> str:
        """Identifies the broker in the registry's record of uploads."""
        return f"{self.settings.broker.address}/{self.topics.root}"

    def authority(self) -> Authority:
        """Call it under the lock before signing. Raises MissingPart."""
        metadata = self.registry.announcements.metadata()
        if not metadata:
            raise MissingPart(
                f"{self.registry.folder} has no root of trust: `publisher init` was stopped half way",
                hint=f"finish it with: publisher init --registry '{self.registry.folder}'",
            )
        return Authority(metadata, self.registry.keys.signers)


@contextmanager
def open_context(settings: Settings, progress: Progress | None = None, *, broker: bool) -> Iterator[PublisherContext]:
    """Open the registry, and connect if `broker` is set."""
    with ExitStack() as opened:
        registry = opened.enter_context(Registry.open(settings.registry))
        topics = Topics(settings.root or registry.settings.get(ROOT_SETTING) or TOPIC_ROOT)
        context = PublisherContext(registry, topics, settings, progress or SilentProgress())
        context.authority()  # report an unfinished registry before connecting
        if broker:
            client = opened.enter_context(BrokerClient.connect(settings.broker, tls=settings.tls))
            context = replace(context, connection=client)
        yield context
