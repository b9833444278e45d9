"""Who listens to what, and what is kept. Pure: it knows topics and filters, no client and no socket."""

from __future__ import annotations

from typing import Generic, TypeVar

from publisher.embedded_broker.packets import Filter, PublishedMessage

Listener = TypeVar("Listener")


class Subscriptions(Generic[Listener]):
    """Routes messages. Filters without a wildcard are found by one look-up; the few others are tried in turn."""

    def __init__(self) -> None:
        self._retained: dict[str, PublishedMessage] = {}
        self._exact: dict[str, dict[Listener, Filter]] = {}
        self._wild: dict[str, dict[Listener, Filter]] = {}
        self._of: dict[Listener, set[str]] = {}

    def subscribe(self, listener: Listener, wanted: Filter) -> bool:
        """Add a filter, or change its options; say whether it is new."""
        filters = self._table(wanted.pattern).setdefault(wanted.pattern, {})
        is_new = listener not in filters
        filters[listener] = wanted
        self._of.setdefault(listener, set()).add(wanted.pattern)
        return is_new

    def unsubscribe(self, listener: Listener, pattern: str) -> bool:
        """Take a filter away; say whether it was there."""
        patterns = self._of.get(listener, set())
        if pattern not in patterns:
            return False
        patterns.remove(pattern)
        table = self._table(pattern)
        del table[pattern][listener]
        if not table[pattern]:
            del table[pattern]
        return True

    def forget(self, listener: Listener) -> None:
        """Take away every filter of a listener."""
        for pattern in list(self._of.get(listener, ())):
            self.unsubscribe(listener, pattern)
        self._of.pop(listener, None)

    def listeners(self, topic: str) -> dict[Listener, Filter]:
        """Who hears `topic`, each once, with the filter of the highest QoS."""
        found = dict(self._exact.get(topic, {}))
        for pattern, filters in self._wild.items():
            if matches(pattern, topic):
                for listener, wanted in filters.items():
                    if listener not in found or found[listener].qos < wanted.qos:
                        found[listener] = wanted
        return found

    def keep(self, message: PublishedMessage) -> None:
        """Keep a message for those who come later; an empty one clears its topic."""
        if message.payload:
            self._retained[message.topic] = message
        else:
            self._retained.pop(message.topic, None)

    def kept(self, pattern: str) -> list[PublishedMessage]:
        """What is kept under a filter."""
        if not is_wild(pattern):
            message = self._retained.get(pattern)
            return [message] if message else []
        return [message for topic, message in self._retained.items() if matches(pattern, topic)]

    def _table(self, pattern: str) -> dict[str, dict[Listener, Filter]]:
        return self._wild if is_wild(pattern) else self._exact


def is_wild(pattern: str) -> bool:
    """Whether a filter has a wildcard in it."""
    return "+" in pattern or "#" in pattern


def is_filter(pattern: str) -> bool:
    """Whether a client may subscribe to this: `+` fills a whole level, `#` the last one."""
    levels = pattern.split("/")
    if not pattern or "#" in "".join(levels[:-1]):
        return False
    return all(level in ("+", "#") or not is_wild(level) for level in levels)


def matches(pattern: str, topic: str) -> bool:
    """Whether a filter covers a topic; a leading wildcard covers no topic of the broker's own (`$…`)."""
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(wanted) == len(levels)
