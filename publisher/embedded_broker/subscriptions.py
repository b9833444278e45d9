"""Subscriptions, retained messages, and the matching of topics and filters. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

from publisher.embedded_broker.packets import Filter, PublishedMessage

Subscriber = TypeVar("Subscriber")


class Subscriptions(Generic[Subscriber]):
    """Finds exact filters by one look-up; those with wildcards are tried in turn."""

    def __init__(self) -> None:
        self._retained: dict[str, PublishedMessage] = {}
        self._exact: dict[str, dict[Subscriber, Filter]] = {}
        self._wild: dict[str, dict[Subscriber, Filter]] = {}
        self._patterns: dict[Subscriber, set[str]] = {}

    def add(self, subscriber: Subscriber, subscription: Filter) -> bool:
        """Add a filter, or change its options; return whether it is new."""
        filters = self._table(subscription.pattern).setdefault(subscription.pattern, {})
        is_new = subscriber not in filters
        filters[subscriber] = subscription
        self._patterns.setdefault(subscriber, set()).add(subscription.pattern)
        return is_new

    def remove(self, subscriber: Subscriber, pattern: str) -> bool:
        """Remove a filter; return whether it existed."""
        patterns = self._patterns.get(subscriber, set())
        if pattern not in patterns:
            return False
        patterns.remove(pattern)
        table = self._table(pattern)
        del table[pattern][subscriber]
        if not table[pattern]:
            del table[pattern]
        return True

    def forget(self, subscriber: Subscriber) -> None:
        for pattern in list(self._patterns.get(subscriber, ())):
            self.remove(subscriber, pattern)
        self._patterns.pop(subscriber, None)

    def subscribers(self, topic: str) -> dict[Subscriber, Filter]:
        """Each subscriber of `topic` once, with its filter of the highest QoS."""
        found = dict(self._exact.get(topic, {}))
        for pattern, filters in self._wild.items():
            if matches(pattern, topic):
                for subscriber, subscription in filters.items():
                    if subscriber not in found or found[subscriber].qos < subscription.qos:
                        found[subscriber] = subscription
        return found

    def retain(self, message: PublishedMessage) -> None:
        """Retain a message; an empty payload clears its topic."""
        if message.payload:
            self._retained[message.topic] = message
        else:
            self._retained.pop(message.topic, None)

    def retained(self, pattern: str) -> list[PublishedMessage]:
        if not is_wild(pattern):
            message = self._retained.get(pattern)
            return [message] if message else []
        return [message for topic, message in self._retained.items() if matches(pattern, topic)]

    def _table(self, pattern: str) -> dict[str, dict[Subscriber, Filter]]:
        return self._wild if is_wild(pattern) else self._exact


def is_wild(pattern: str) -> bool:
    return "+" in pattern or "#" in pattern


def is_filter(pattern: str) -> bool:
    """Whether this is a valid filter: `+` fills a whole level, `#` the last one."""
    levels = pattern.split("/")
    if not pattern or "#" in "".join(levels[:-1]):
        return False
    return all(level in ("+", "#") or not is_wild(level) for level in levels)


def matches(pattern: str, topic: str) -> bool:
    """Whether a filter matches. A leading wildcard does not match `$…` topics."""
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(wanted) == len(levels)
