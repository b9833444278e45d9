"""Performs the reconciler's effects over a broker connection that is opened on demand.

An announcement is put without the lock, read back, and put again if a command has
stored a newer one. That command puts its own after storing it, so the newest wins.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Final

from protocol.errors import BrokerTrouble, Busy, FerryError
from protocol.messages.manifest import Tree
from publisher.adapters.broker_client import BrokerClient
from publisher.adapters.registry import Staged
from publisher.core.sync.reconciler import Compare, Compared, PutChunks, PutModels, PutTrees, ReconcileEffect, Renew
from publisher.operations.announce.upload import (
    announce,
    chunk_messages,
    missing_trees,
    trees_of_bundle,
    upload_missing,
)
from publisher.operations.context import PublisherContext
from publisher.operations.serve.counters import ServeCounters

SIGNATURE_CHECK_EVERY_S: Final = 60.0
_log = logging.getLogger(__name__)


class ReconcileEffects:
    """Performs effects and counts them. Every effect can be repeated safely."""

    def __init__(self, context: PublisherContext) -> None:
        self._context = context
        self._registry = context.registry
        self._connected: PublisherContext | None = None
        self._signature_left = 1.0
        self._signature_check_at_s = 0.0

    def perform(self, effect: ReconcileEffect, counters: ServeCounters) -> Compared | None:
        try:
            return self._perform(effect, counters)
        except BrokerTrouble:
            self.close()  # the next attempt starts with a fresh connection
            raise

    def _perform(self, effect: ReconcileEffect, counters: ServeCounters) -> Compared | None:
        match effect:
            case Compare():
                return self._compare()
            case PutTrees(roots):
                self._put_trees(roots, counters)
            case PutModels(models):
                for model in models:
                    self._put_model(model, counters)
            case PutChunks(sha256s):
                self._put_chunks(sha256s, counters)
            case Renew():
                self._renew(counters)
        return None

    def signature_left(self) -> float:
        """The share of its lifetime, 0-1, of the signature that ends first. Cached."""
        if time.monotonic() >= self._signature_check_at_s:
            self._signature_check_at_s = time.monotonic() + SIGNATURE_CHECK_EVERY_S
            authority, now = self._context.authority(), self._context.clock()
            ends = {role: end for role, end in authority.expiries().items() if role != "root"}
            lifetimes = authority.lifetimes
            self._signature_left = min((end - now) / lifetimes.of(role) for role, end in ends.items())
        return self._signature_left

    def abandoned_models(self) -> tuple[str, ...]:
        """Models with a pending announcement that no running command will send."""
        if not self._registry.announcements.pending():
            return ()
        try:
            with self._registry.lock():
                return tuple(staged.model for staged in self._registry.announcements.pending())
        except Busy:
            return ()

    def close(self) -> None:
        if self._connected:
            self._connected.broker.close()
            self._connected = None

    def _connect(self) -> PublisherContext:
        if self._connected is None:
            settings = self._context.settings
            client = BrokerClient.connect(settings.broker, tls=settings.tls, name="keeper")
            self._connected = replace(self._context, connection=client)
        return self._connected

    def _compare(self) -> Compared:
        context = self._connect()
        by_topic = {
            context.topics.desired(model): (model, bundle)
            for model, bundle in self._registry.announcements.bundles().items()
        }
        retained = context.broker.read(by_topic)
        stale = tuple(model for topic, (model, bundle) in by_topic.items() if retained.get(topic) != bundle)
        lost = missing_trees(context, self._announced_trees().values())
        _log.info("compared: %d of %d announcements and %d trees to put back", len(stale), len(by_topic), len(lost))
        return Compared(stale, tuple(tree.root for tree in lost))

    def _put_trees(self, roots: tuple[str, ...], counters: ServeCounters) -> None:
        trees = self._announced_trees()
        uploaded = upload_missing(self._connect(), [trees[root] for root in roots if root in trees])
        counters.chunks += uploaded.chunks
        _log.info("put back %d chunks, %d bytes", uploaded.chunks, uploaded.size_bytes)

    def _put_model(self, model: str, counters: ServeCounters) -> None:
        context = self._connect()
        while (staged := self._staged(model)) is not None:
            uploaded = announce(context, staged)
            counters.chunks += uploaded.chunks
            counters.announcements += 1
            _log.info("announced plan %d of %s, with %d chunks", staged.sequence, model, uploaded.chunks)
            if self._registry.announcements.bundle(model) == staged.bundle:
                return

    def _put_chunks(self, sha256s: tuple[str, ...], counters: ServeCounters) -> None:
        context = self._connect()
        available = [sha256 for sha256 in sha256s if self._is_available(sha256)]
        self._registry.uploads.add(available, context.broker_id)
        counters.chunks += context.broker.put_all(chunk_messages(context, available))
        _log.info("put back %d chunks that were asked for", len(available))

    def _renew(self, counters: ServeCounters) -> None:
        announcements = self._registry.announcements
        with self._registry.lock():
            authority, bundles = self._context.authority().renew(announcements.bundles(), self._context.clock())
            announcements.stage_renewed(bundles, authority.metadata)
        self._signature_check_at_s = 0.0
        counters.renewals += 1
        _log.info("signed a new timestamp for %d models", len(bundles))
        for model in bundles:
            self._put_model(model, counters)

    def _staged(self, model: str) -> Staged | None:
        announcements = self._registry.announcements
        plan, bundle = announcements.plan(model), announcements.bundle(model)
        return Staged(model, plan.sequence, bundle) if plan and bundle is not None else None

    def _announced_trees(self) -> dict[str, Tree]:
        bundles = self._registry.announcements.bundles().values()
        return {tree.root: tree for bundle in bundles for tree in trees_of_bundle(bundle)}

    def _is_available(self, sha256: str) -> bool:
        try:
            if self._registry.chunks.read(sha256) is not None:
                return True
            _log.warning("chunk %s is wanted, but the registry does not hold it", sha256[:12])
        except FerryError as damaged:
            _log.error("chunk %s is wanted: %s", sha256[:12], damaged)
        return False
