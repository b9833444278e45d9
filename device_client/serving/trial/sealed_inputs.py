"""Which inputs a device keeps for its trials: a few of each class of answer.

What the live model rarely gives may not come while a candidate is on trial. So a few
inputs of each class are kept as they come, the first ones soon and the later ones apart
in time, and every candidate answers them too. Bounded in number and bytes.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from queue import Full, Queue
from typing import Final

from device_client.adapters.process_priority import lower_priority
from device_client.adapters.runtime.tflite import Array
from device_client.ports.serving import SealedInput, SealedStore

INPUTS_MAX: Final = 128
INPUTS_MAX_BYTES: Final = 8 * 1024 * 1024
CLASSES_MAX: Final = 32
OF_CLASS_MAX: Final = 16  # if there are few classes
OF_CLASS_MIN: Final = 4  # enough to show that a candidate gives it
SPACING_FIRST_S: Final = 1.0  # from the first of a class to the second; then twice as long each time
SPACING_MAX_S: Final = 3_600.0
LOOK_EVERY: Final = 8  # answers without a top class, as reading their classes takes time
QUEUE_MAX: Final = 4
NICE: Final = 15
_JOIN_S: Final = 2.0

log = logging.getLogger(__name__)


class SealedInputs:
    """Chooses, and writes on a thread of its own. Any thread may call any method."""

    def __init__(self, store: SealedStore, clock_s: Callable[[], float]) -> None:
        self._store, self._clock_s = store, clock_s
        self._lock = threading.Lock()  # for all that follows but the queue
        self._kept = store.load()
        self._due_s: dict[int, float] = {}  # when a class may have another one
        self._queue: Queue[SealedInput | None] = Queue(QUEUE_MAX)
        self._thread: threading.Thread | None = None

    def wants(self, id_: int, top: int | None) -> bool:
        """Whether to read an answer's classes; takes a fraction of a microsecond."""
        if top is None:
            return id_ % LOOK_EVERY == 0
        due_s = self._due_s.get(top)
        return due_s is None or self._clock_s() >= due_s

    def offer(self, inputs: Sequence[Array], outputs: Sequence[Array], classes: Sequence[int], model: str) -> None:
        """Queue a copy, if one of the classes may have another one."""
        now_s = self._clock_s()
        with self._lock:
            taken = [each for each in classes if self._takes(each, now_s)]
            if not taken:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sealing", daemon=True)
                self._thread.start()
        copies = tuple(each.copy() for each in inputs), tuple(each.copy() for each in outputs)
        try:
            self._queue.put_nowait(SealedInput(*copies, tuple(classes), model))
        except Full:
            log.debug("an input was not sealed: they come faster than the disk takes them")

    def all(self) -> dict[str, SealedInput]:
        """Those that are kept, by name."""
        with self._lock:
            return {name: sealed for name, (sealed, _) in self._kept.items()}

    def replace(self, name: str, sealed: SealedInput | None) -> None:
        """Keep another answer to an input, or none of it."""
        with self._lock:
            self._kept.pop(name, None)
        self._store.drop(name)
        if sealed:
            self._keep(sealed)

    def close(self) -> None:
        """End the thread once all is written."""
        if self._thread is not None and self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(_JOIN_S)

    def _takes(self, at: int, now_s: float) -> bool:
        counts = self._counts()
        room = len(counts) < CLASSES_MAX if at not in counts else counts[at] < self._most(counts)
        if not room:
            self._due_s[at] = inf
            return False
        if now_s < self._due_s.get(at, now_s):
            return False
        spacing_s = min(SPACING_MAX_S, SPACING_FIRST_S * 2.0 ** min(counts[at], OF_CLASS_MAX))
        self._due_s[at] = now_s + spacing_s
        return True

    def _counts(self) -> Counter[int]:
        return Counter(at for sealed, _ in self._kept.values() for at in sealed.classes)

    def _most(self, counts: Counter[int]) -> int:
        return min(OF_CLASS_MAX, max(OF_CLASS_MIN, INPUTS_MAX // max(1, len(counts))))

    def _work(self) -> None:
        lower_priority(threading.get_native_id(), NICE)
        while (sealed := self._queue.get()) is not None:
            self._keep(sealed)

    def _keep(self, sealed: SealedInput) -> None:
        """Write outside the lock: a prediction may want it."""
        kept = self._store.keep(sealed)
        if kept is None:
            return
        name, size_bytes = kept
        with self._lock:
            self._kept[name] = sealed, size_bytes
            dropped = self._over_the_limits()
        for each in dropped:
            self._store.drop(each)

    def _over_the_limits(self) -> list[str]:
        dropped = []
        while len(self._kept) > INPUTS_MAX or sum(size for _, size in self._kept.values()) > INPUTS_MAX_BYTES:
            dropped.append(self._most_dispensable())
            del self._kept[dropped[-1]]
        return dropped

    def _most_dispensable(self) -> str:
        """The newest of those whose rarest class has the most."""
        counts = self._counts()
        return max(
            reversed(self._kept), key=lambda name: min((counts[at] for at in self._kept[name][0].classes), default=0)
        )
