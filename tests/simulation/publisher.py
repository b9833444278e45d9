"""A simulated publisher: the real planning and reconciler, a registry in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from protocol.errors import BadInput, BundleMalformed
from protocol.messages.base import Line
from protocol.messages.device import Wants
from protocol.messages.manifest import Encoding, Golden, Manifest, Tree, Variant, VersionFile
from protocol.messages.plan import Plan
from protocol.mqtt.link import Connected, Delivered, Disconnected, LinkEvent, Received, SweepCompleted
from protocol.topics import Kind, Topics
from protocol.trust.verification import Accepted
from publisher.core.rollout import plan_edits as planning
from publisher.core.rollout.audience import Audience
from publisher.core.sync import reconciler
from tests.builders import a_manifest
from tests.simulation.device import START
from tests.simulation.world import Broker, SimLink, World

MODEL = "digits"


class OpenBundle(Line):
    """A bundle without signatures: this simulates the transfer only."""

    plan: Plan
    manifests: dict[str, Manifest]


_accepted: dict[bytes, Accepted] = {}


def accept(bundle: bytes, trusted: object) -> Accepted:
    """The Verify port. Parses the same bytes once for all devices."""
    if bundle not in _accepted:
        _accepted.clear() if len(_accepted) > 50 else None
        try:
            parsed = OpenBundle.from_line(bundle, max_bytes=65_536)
        except BadInput as broken:
            raise BundleMalformed(str(broken)) from None
        _accepted[bundle] = Accepted(parsed.plan, parsed.manifests, {"seen": b"1"}, START, True, True)
    return _accepted[bundle]


@dataclass
class SimRegistry:
    """The publisher's registry, which survives its restarts."""

    plan: Plan | None = None
    bundle: bytes = b""
    manifests: dict[str, Manifest] = field(default_factory=dict)
    chunks: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)  # file hash to version

    def add(self, version: str, leaves: int) -> None:
        """Add a version of some tiny chunks."""
        model_tree, model_sha256, size = self._cut(f"{version} model", leaves)
        golden_tree, golden_sha256, golden_size = self._cut(f"{version} golden", 1)
        self.versions[model_sha256] = version
        variant = Variant(
            name="float32",
            precision="float32",
            sha256=model_sha256,
            size_bytes=size,
            encodings=(Encoding(kind="raw", tree=model_tree),),
        )
        golden = Golden(
            sha256=golden_sha256,
            size_bytes=golden_size,
            samples=16,
            encodings=(Encoding(kind="raw", tree=golden_tree),),
        )
        files = [self._file("tokens.json", "every version")]
        files += [self._file("anchors.npy", version)] if self.manifests else []
        self.manifests[version] = a_manifest(
            version, model=MODEL, variants=[variant], golden=golden, files=tuple(files)
        )

    def _file(self, name: str, of: str) -> VersionFile:
        tree, sha256, size_bytes = self._cut(f"{name} of {of}", 1)
        encodings = (Encoding(kind="raw", tree=tree),)
        return VersionFile(name=name, sha256=sha256, size_bytes=size_bytes, encodings=encodings)

    def roots(self) -> list[str]:
        """Every tree that the current plan needs."""
        versions = self.plan.versions() if self.plan else ()
        return [tree.root for version in versions for tree in self.manifests[version].trees()]

    def tree_chunks(self, root: str) -> list[str]:
        """Leaves first, root last."""
        node = self.chunks[root]
        leaves = [node[at : at + 32].hex() for at in range(0, len(node), 32)] if len(node) > 32 else []
        return [*dict.fromkeys(leaves), root]

    def _cut(self, of: str, count: int) -> tuple[Tree, str, int]:
        leaves = [f"{of} {number}".encode() for number in range(count)]
        names = [hashlib.sha256(leaf).hexdigest() for leaf in leaves]
        self.chunks |= dict(zip(names, leaves, strict=True))
        blob = b"".join(leaves)
        root, depth = names[0], 0
        if count > 1:
            node = bytes.fromhex("".join(names))
            root, depth = hashlib.sha256(node).hexdigest(), 1
            self.chunks[root] = node
        return Tree(root=root, depth=depth, size_bytes=len(blob)), hashlib.sha256(blob).hexdigest(), len(blob)


class SimPublisher:
    """Announces plans and serves; a restart keeps nothing but its registry."""

    def __init__(self, world: World, broker: Broker, registry: SimRegistry) -> None:
        self._world, self._broker, self.registry = world, broker, registry
        self._topics = Topics()
        self._life = 0
        self.announced_in_restart = 0  # a broker emptied while the announcement is on its way is nobody's fault
        self._boot()

    def release(self, version: str, audience: Audience) -> None:
        """Stage the plan, upload the chunks, then announce."""
        now = START + timedelta(seconds=self._world.now_s)
        self._stage(planning.release(self.registry.plan, MODEL, version, audience, now, urgency="routine", spread_s=20))

    def roll_back(self) -> None:
        """Recall the newest version."""
        assert self.registry.plan is not None
        self._stage(planning.roll_back(self.registry.plan, None, START + timedelta(seconds=self._world.now_s)))

    def kill(self) -> None:
        """Restart after a while, and finish what is staged."""
        self.link.vanish()
        self._life += 1
        self._world.after(self._world.rng.uniform(1.0, 20.0), self._boot)

    def _stage(self, plan: Plan) -> None:
        manifests = {version: self.registry.manifests[version] for version in plan.versions()}
        self.registry.plan, self.registry.bundle = plan, OpenBundle(plan=plan, manifests=manifests).to_line()
        self._put_model()

    def _boot(self) -> None:
        self._life += 1
        self._reconciler = reconciler.Reconciler()
        self._found: dict[str, bytes] = {}
        self._waiting: set[int] = set()
        self._announcing = False
        life = self._life

        def enter(event: LinkEvent) -> None:
            if life == self._life:
                self._take(event)

        self.link = SimLink(self._world, self._broker, enter)
        self.link.start()

    def _take(self, event: LinkEvent) -> None:
        match event:
            case Connected():
                self.link.subscribe([self._topics.of_every_device(Kind.WANTS)], qos=1)
                if self._announcing:
                    self._put_model()  # the broker may have come back empty: what was acknowledged counts no more
                self._step(reconciler.BrokerJoined())
            case Disconnected():
                self._step(reconciler.BrokerLost())
            case Delivered(receipt):
                self._waiting.discard(receipt)
                self._announce_when_all_is_there()
            case Received(topic, payload):
                self._received(topic, payload)
            case SweepCompleted(topics):
                self._world.after(1.0, lambda: self._compared(topics))

    def _received(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/wants"):
            wants = Wants.from_line(payload)
            self._step(reconciler.ChunksWanted(wants.device, wants.chunks))
        else:
            self._found[topic] = payload

    def _compared(self, topics: tuple[str, ...]) -> None:
        desired = self._topics.desired(MODEL)
        stale = (MODEL,) if self.registry.bundle and self._found.get(desired) != self.registry.bundle else ()
        missing = tuple(root for root in self.registry.roots() if self._topics.chunk(root) not in self._found)
        self._step(reconciler.Compared(stale, missing))

    def _step(self, event: reconciler.ReconcileEvent) -> None:
        self._reconciler, effects = reconciler.step(self._reconciler, event, self._world.now_s)
        for effect in effects:
            match effect:
                case reconciler.Compare():
                    self._found = {}
                    roots = [self._topics.chunk(root) for root in self.registry.roots()]
                    self.link.sweep([self._topics.desired(MODEL), *roots])
                case reconciler.PutTrees(roots):
                    for root in roots:
                        self._put_chunks(self.registry.tree_chunks(root))
                case reconciler.PutModels():
                    self._put_model()
                case reconciler.PutChunks(sha256s):
                    self._put_chunks([sha256 for sha256 in sha256s if sha256 in self.registry.chunks])
                case reconciler.Renew():
                    pass

    def _put_model(self) -> None:
        self._waiting.clear()
        for root in self.registry.roots():
            self._put_chunks(self.registry.tree_chunks(root))
        self._announcing = True
        self._announce_when_all_is_there()

    def _put_chunks(self, sha256s: list[str]) -> None:
        for sha256 in sha256s:
            topic = self._topics.chunk(sha256)
            self._waiting.add(self.link.publish(topic, self.registry.chunks[sha256], qos=1, retain=True))

    def _announce_when_all_is_there(self) -> None:
        if self._announcing and not self._waiting:
            self._announcing = False
            self.announced_in_restart = self._broker.restarts
            self.link.publish(self._topics.desired(MODEL), self.registry.bundle, qos=1, retain=True)
