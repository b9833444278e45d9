"""Whose topic is it? Before anything is announced: another registry's fleet must not be made deaf by accident.

Devices believe one root. An announcement of ours over that of another registry would be refused by every one of them,
and theirs would be gone. A bundle that is broken, or older than what we know, is not somebody else's.
"""

from __future__ import annotations

from protocol.errors import BrokerRefused, BundleMalformed, Untrusted
from protocol.trust.verification import verify
from publisher.operations.context import PublisherContext


def check_ours(office: PublisherContext, model: str) -> None:
    """Raise BrokerRefused when another registry has announced this model on this broker."""
    topic = office.topics.desired(model)
    standing = office.broker.read([topic]).get(topic)
    if not standing or standing == office.registry.bundle(model):
        return
    root = office.authority().metadata["1.root.json"]
    try:
        verify(standing, model=model, root=root, trusted={}, now=office.clock(), clock_trusted=False)
    except BundleMalformed:
        return
    except Untrusted:
        raise BrokerRefused(
            f"another registry has announced {model!r} on {office.broker.address}, and its devices believe that one",
            hint="use that registry, or another --root or broker; to take the topic over all the same, clear it first: "
            f"mosquitto_pub -r -n -t {topic}",
        ) from None
