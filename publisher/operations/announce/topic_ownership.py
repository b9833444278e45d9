"""`check_topic_is_ours`: refuses to replace the announcement of another registry.

Devices trust one root. They would reject our announcement, and theirs would be gone. A
bundle that is malformed, or older than ours, does not belong to another registry.
"""

from __future__ import annotations

from protocol.errors import BrokerRefused, BundleMalformed, Untrusted
from protocol.trust.verification import verify
from publisher.operations.context import PublisherContext


def check_topic_is_ours(context: PublisherContext, model: str) -> None:
    """Raise BrokerRefused if another registry has announced this model here."""
    topic = context.topics.desired(model)
    retained = context.broker.read([topic]).get(topic)
    if not retained or retained == context.registry.announcements.bundle(model):
        return
    root = context.authority().metadata["1.root.json"]
    try:
        verify(retained, model=model, root=root, trusted={}, now=context.clock(), clock_trusted=False)
    except BundleMalformed:
        return
    except Untrusted:
        raise BrokerRefused(
            f"another registry has announced {model!r} on {context.broker.address}, and its devices believe that one",
            hint="use that registry, or another --root or broker; to take the topic over all the same, clear it first: "
            f"mosquitto_pub -r -n -t {topic}",
        ) from None
