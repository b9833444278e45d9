"""A pool of interpreters of one model file, one for each concurrent prediction."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Lock

from device_client.adapters.runtime.tflite import Array, OpenModel, open_model
from device_client.ports.serving import Delegate, ModelFile
from device_client.serving.input_format import InputFormat
from device_client.serving.prediction import AnswerFormat
from protocol.errors import BadModel, ContractDiffers, FerryError
from protocol.preprocessing.preprocessor import preprocessor_of

log = logging.getLogger(__name__)


def _unchanged(inputs: list[Array]) -> list[Array]:
    return inputs


class InterpreterPool:
    """Thread-safe. Needs no `close`: interpreters end with their last reference.

    `arrange` checks what an application gives, `prepare` makes of it what `run` takes.
    """

    def __init__(
        self, file: ModelFile, *, size_max: int, size: int = 1, threads: int = 1, delegates: Sequence[Delegate] = ()
    ) -> None:
        """Open and warm up `size` interpreters, later more. Raises BadModel."""
        self.file = file
        self.form = AnswerFormat(file.contract)
        preprocessor = preprocessor_of(file.preprocessing, file.contract)
        self.arrange = (preprocessor or InputFormat(file.contract)).arrange
        self.preprocessing = preprocessor.declared if preprocessor else None
        self.prepare = preprocessor.apply if preprocessor else _unchanged
        self._threads, self._delegates = threads, delegates
        self._size_max = size_max
        self._lock = Lock()  # for the number of interpreters, and the queue of waiting threads
        self._waiting: deque[SimpleQueue[OpenModel]] = deque()
        self._idle = [self._open() for _ in range(min(size_max, size))]
        self.size = len(self._idle)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        model = self._acquire()
        try:
            return model.run(inputs)
        finally:
            self._idle.append(model)
            if self._waiting:
                with self._lock:
                    self._hand_to_waiting()

    def at_initial_state(self) -> OpenModel:
        """An interpreter outside of the pool, for one stream. Raises BadModel."""
        return self._opened()

    def _acquire(self) -> OpenModel:
        """Takes no lock unless threads wait: list append and pop are atomic."""
        if self._waiting:
            return self._wait_or_open()
        try:
            return self._idle.pop()
        except IndexError:
            return self._wait_or_open()

    def _wait_or_open(self) -> OpenModel:
        while True:
            handoff: SimpleQueue[OpenModel] = SimpleQueue()
            with self._lock:
                full = self.size >= self._size_max
                if full:
                    self._waiting.append(handoff)
                    self._hand_to_waiting()  # one may have been returned before we were in the queue
                else:
                    self.size += 1
            if full:
                return handoff.get()
            try:
                return self._open()
            except FerryError as failure:
                self._stop_growing(failure)

    def _hand_to_waiting(self) -> None:
        """Give idle interpreters to waiting threads in order. Called under the lock."""
        while self._waiting:
            try:
                model = self._idle.pop()
            except IndexError:
                return  # taken by a thread that did not see the queue; it returns it later
            self._waiting.popleft().put(model)

    def _stop_growing(self, failure: FerryError) -> None:
        with self._lock:
            self.size -= 1
            self._size_max = self.size
            log.warning("%s runs in no more than %d threads: %s", self.file.version, self.size, failure)

    def _open(self) -> OpenModel:
        model = self._opened()
        model.warm_up()
        return model

    def _opened(self) -> OpenModel:
        try:
            return open_model(self.file.path, self._threads, self._delegates, self.file.contract)
        except ContractDiffers as differs:
            raise BadModel(f"{self.file.version} is not what its manifest says: {differs.message}") from None
