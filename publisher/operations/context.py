"""Where an operation works: an open registry, a broker where it needs one, the clock, a voice, and the lock.

Whoever takes the lock first finishes or undoes what a killed command left (`recovery`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
    """The time, for what is signed."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class PublisherContext:
    """An open registry and what is around it."""

    registry: Registry
    topics: Topics
    settings: Settings
    voice: Progress = field(default_factory=SilentProgress)
    clock: Callable[[], datetime] = utc_now
    connected: BrokerClient | None = None

    @property
    def broker(self) -> BrokerClient:
        """The broker; an operation that asks for it was opened with one."""
        assert self.connected is not None, "this office was opened without a broker"
        return self.connected

    @property
    def broker_id(self) -> str:
        """Which broker an upload went to."""
        return f"{self.settings.broker.address}/{self.topics.root}"

    def authority(self) -> Authority:
        """The authority as the registry has it. Ask under the lock when you mean to sign. Raises MissingPart."""
        metadata = self.registry.metadata()
        if not metadata:
            raise MissingPart(
                f"{self.registry.folder} has no root of trust: `publisher init` was stopped half way",
                hint=f"finish it with: publisher init --registry '{self.registry.folder}'",
            )
        return Authority(metadata, self.registry.keys.signers)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other commands off; first bring to an end what a killed one left. Raises Busy."""
        from publisher.operations.announce.crash_recovery import recover

        with self.registry.lock(self.settings.wait_s, self._on_wait):
            recover(self)
            yield

    def _on_wait(self, holder: str) -> None:
        self.voice.say(f"waiting for {holder}, up to {self.settings.wait_s:g} s …")


@contextmanager
def open_context(settings: Settings, voice: Progress, *, broker: bool) -> Iterator[PublisherContext]:
    """Open the registry, and connect where `broker` is asked for: before any work that would be in vain."""
    with ExitStack() as opened:
        registry = opened.enter_context(Registry.open(settings.registry))
        topics = Topics(settings.root or registry.setting(ROOT_SETTING) or TOPIC_ROOT)
        office = PublisherContext(registry, topics, settings, voice)
        office.authority()  # an unfinished registry is told before anything else
        if broker:
            connected = opened.enter_context(BrokerClient.connect(settings.broker, tls=settings.tls))
            office = PublisherContext(registry, topics, settings, voice, connected=connected)
        yield office
