"""Carries out what the keeper asks for, over a connection of its own that it makes when it is needed.

An announcement is put without the lock: it is read again afterwards, and put again when a command has stored a newer
one meanwhile. That command puts its own after storing it, so the newest is always the last.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from protocol.errors import BrokerTrouble, Busy, FerryError
from protocol.messages.manifest import Tree
from publisher.adapters.broker_client import BrokerClient
from publisher.adapters.registry import Staged
from publisher.core.sync.reconciler import (
    Compare,
    Compared,
    PutChunks,
    PutModels,
    PutTrees,
    ReconcileEffect,
    Renew,
)
from publisher.operations.announce.upload import absent, announce, messages, supply, trees_in
from publisher.operations.context import PublisherContext

if TYPE_CHECKING:
    from publisher.operations.serve.service import ServeCounters

LOOK_EVERY_S: Final = 60.0  # at signatures
_log = logging.getLogger(__name__)


class ReconcileEffects:
    """The hands of the keeper."""

    def __init__(self, office: PublisherContext) -> None:
        self._bare = office
        self._office: PublisherContext | None = None
        self._signature_left = 1.0
        self._look_at_s = 0.0

    def perform(self, effect: ReconcileEffect, served: ServeCounters) -> Compared | None:
        """Do it, and count it. Raises FerryError; everything here can be done again."""
        try:
            return self._perform(effect, served)
        except BrokerTrouble:
            self.close()  # the next attempt begins with a connection that knows nothing of this one
            raise

    def _perform(self, effect: ReconcileEffect, served: ServeCounters) -> Compared | None:
        match effect:
            case Compare():
                return self._compare()
            case PutTrees(roots):
                self._put_trees(roots, served)
            case PutModels(models):
                for model in models:
                    self._put_model(model, served)
            case PutChunks(sha256s):
                self._put_chunks(sha256s, served)
            case Renew():
                self._renew(served)
        return None

    def signature_left(self) -> float:
        """The share of its lifetime that is left to the signature that ends first, looked up now and then."""
        if time.monotonic() >= self._look_at_s:
            self._look_at_s = time.monotonic() + LOOK_EVERY_S
            authority, now = self._bare.authority(), self._bare.clock()
            ends = {role: end for role, end in authority.expiries().items() if role != "root"}
            lifetimes = authority.lifetimes
            self._signature_left = min((end - now) / lifetimes.of(role) for role, end in ends.items())
        return self._signature_left

    def abandoned(self) -> tuple[str, ...]:
        """Models whose announcement is stored and not sent, when no command is at work that is about to send it."""
        staged = self._bare.registry.unannounced()
        if not staged:
            return ()
        try:
            with self._bare.registry.lock():
                return tuple(one.model for one in self._bare.registry.unannounced())
        except Busy:
            return ()

    def close(self) -> None:
        """Let go of the connection."""
        if self._office:
            self._office.broker.close()
            self._office = None

    def _at_work(self) -> PublisherContext:
        """An office with a connection."""
        if self._office is None:
            bare = self._bare
            broker = BrokerClient.connect(bare.settings.broker, tls=bare.settings.tls, name="keeper")
            self._office = PublisherContext(bare.registry, bare.topics, bare.settings, bare.voice, bare.clock, broker)
        return self._office

    def _compare(self) -> Compared:
        office = self._at_work()
        bundles = {office.topics.desired(model): bundle for model, bundle in office.registry.bundles().items()}
        kept = office.broker.read(bundles)
        stale = [topic for topic, bundle in bundles.items() if kept.get(topic) != bundle]
        lost = absent(office, self._standing_trees().values())
        models = tuple(office.topics.parse(topic).model for topic in stale)  # type: ignore[union-attr] # we made it
        _log.info("compared: %d of %d announcements and %d trees to put back", len(stale), len(bundles), len(lost))
        return Compared(models, tuple(tree.root for tree in lost))

    def _put_trees(self, roots: tuple[str, ...], served: ServeCounters) -> None:
        trees = self._standing_trees()
        sent = supply(self._at_work(), [trees[root] for root in roots if root in trees])
        served.chunks += sent.chunks
        _log.info("put back %d chunks, %d bytes", sent.chunks, sent.size_bytes)

    def _put_model(self, model: str, served: ServeCounters) -> None:
        office = self._at_work()
        while (staged := self._staged(model)) is not None:
            sent = announce(office, staged)
            served.chunks += sent.chunks
            served.announcements += 1
            _log.info("announced plan %d of %s, with %d chunks", staged.sequence, model, sent.chunks)
            if office.registry.bundle(model) == staged.bundle:
                return

    def _put_chunks(self, sha256s: tuple[str, ...], served: ServeCounters) -> None:
        office = self._at_work()
        here = [sha256 for sha256 in sha256s if self._is_here(sha256)]
        office.registry.mark_uploaded(here, office.broker_id)
        served.chunks += office.broker.put_all(messages(office, here))
        _log.info("put back %d chunks that were asked for", len(here))

    def _renew(self, served: ServeCounters) -> None:
        office = self._bare
        with office.registry.lock():
            authority, bundles = office.authority().renew(office.registry.bundles(), office.clock())
            office.registry.stage_renewed(bundles, authority.metadata)
        self._look_at_s = 0.0
        served.renewals += 1
        _log.info("signed a new timestamp for %d models", len(bundles))
        for model in bundles:
            self._put_model(model, served)

    def _staged(self, model: str) -> Staged | None:
        plan, bundle = self._bare.registry.plan(model), self._bare.registry.bundle(model)
        return Staged(model, plan.sequence, bundle) if plan and bundle is not None else None

    def _standing_trees(self) -> dict[str, Tree]:
        return {tree.root: tree for bundle in self._bare.registry.bundles().values() for tree in trees_in(bundle)}

    def _is_here(self, sha256: str) -> bool:
        try:
            if self._bare.registry.chunk(sha256) is not None:
                return True
            _log.warning("chunk %s is wanted, but the registry does not hold it", sha256[:12])
        except FerryError as damaged:
            _log.error("chunk %s is wanted: %s", sha256[:12], damaged)
        return False
