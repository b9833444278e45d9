"""One version in memory, opened once for each thread that needs it at a time. Knows nothing of swaps or shadows."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Lock

from device_client.adapters.runtime.tflite import OpenModel, open_model
from device_client.ports.serving import Delegate, ModelFile
from device_client.serving.prediction import AnswerFormat, Array
from protocol.errors import BadModel, ContractDiffers, FerryError

log = logging.getLogger(__name__)


class InterpreterPool:
    """A pool of interpreters of one file. It is closed when nobody refers to it any more: memory is the runtime's."""

    def __init__(
        self,
        file: ModelFile,
        *,
        most: int,
        at_once: int = 1,
        threads: int = 1,
        delegates: Sequence[Delegate] = (),
    ) -> None:
        """Open `at_once` interpreters and warm them up; more follow as threads ask, up to `most`. Raises BadModel."""
        self.file = file
        self.form = AnswerFormat(file.contract)
        self._threads, self._delegates = threads, delegates
        self._most = most
        self._changing = Lock()  # the number of interpreters, and the queue
        self._waiting: deque[SimpleQueue[OpenModel]] = deque()
        self._idle = [self._open() for _ in range(min(most, at_once))]
        self.opened = len(self._idle)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Answer inputs (n, ...). Raises BadModel when the runtime fails on them."""
        model = self._take()
        try:
            return model.run(inputs)
        finally:
            self._idle.append(model)
            if self._waiting:
                with self._changing:
                    self._hand_over()

    def _take(self) -> OpenModel:
        """An idle one, without a lock where nobody waits: appending to a list and popping from it are one step each."""
        if self._waiting:
            return self._wait_or_open()
        try:
            return self._idle.pop()
        except IndexError:
            return self._wait_or_open()

    def _wait_or_open(self) -> OpenModel:
        while True:
            seat: SimpleQueue[OpenModel] = SimpleQueue()
            with self._changing:
                full = self.opened >= self._most
                if full:
                    self._waiting.append(seat)
                    self._hand_over()  # one may have come back before we sat down
                else:
                    self.opened += 1
            if full:
                return seat.get()
            try:
                return self._open()
            except FerryError as failure:
                self._make_do(failure)

    def _hand_over(self) -> None:
        """Give what is idle to those who wait, in their order. Called under the lock."""
        while self._waiting:
            try:
                model = self._idle.pop()
            except IndexError:
                return  # a thread that did not see the queue was faster; it brings it back
            self._waiting.popleft().put(model)

    def _make_do(self, failure: FerryError) -> None:
        """There is no memory for one more: wait for those that there are."""
        with self._changing:
            self.opened -= 1
            self._most = self.opened
            log.warning("%s runs in no more than %d threads: %s", self.file.version, self.opened, failure)

    def _open(self) -> OpenModel:
        model = open_model(self.file.path, self._threads, self._delegates)
        try:
            self.file.contract.check_successor(model.contract)
        except ContractDiffers as differs:
            raise BadModel(f"{self.file.version} is not what its manifest says: {differs.message}") from None
        model.warm_up()
        return model
