"""Consecutive inputs of one source, for models that keep state between them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

from device_client.serving.input_format import Inputs
from device_client.serving.prediction import Prediction
from protocol.errors import MissingPart


class OpenStream(Protocol):
    """A stream on one version, from its initial state."""

    @property
    def version(self) -> str: ...

    @property
    def outdated(self) -> bool: ...

    def predict(self, x: Inputs) -> Prediction: ...


class Stream:
    """Answered by one version, until `restart`, also while another one is swapped in.

    Its state is its own. Threads that share a stream are answered in turn.
    """

    def __init__(self, begin: Callable[[], OpenStream]) -> None:
        self._begin = begin
        self._lock = Lock()
        self._open: OpenStream | None = begin()

    def predict(self, x: Inputs) -> Prediction:
        """Answer the next input; of a batch, each in order. Raises as `EdgeModel`'s."""
        with self._lock:
            return self._opened().predict(x)

    def restart(self) -> None:
        """Begin anew from the initial state, on the version that serves now."""
        with self._lock:
            self._open = self._begin()

    @property
    def version(self) -> str:
        return self._opened().version

    @property
    def outdated(self) -> bool:
        """Whether another version serves now, which `restart` would begin with."""
        return self._opened().outdated

    def close(self) -> None:
        """Release the interpreter."""
        with self._lock:
            self._open = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> OpenStream:
        if self._open is None:
            raise MissingPart("the stream was closed", hint="begin another one with stream()")
        return self._open
