"""Checks each answer of a device: `python checking_application.py CONFIG KNOWN.npz`.

KNOWN has `x` and, for each version, the right answers. It prints one JSON line for each
answer that is wrong or failed, for each new version, and at the end. A line is written
whole or not at all, also when the process is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import numpy as np

from device_client import EdgeModel
from protocol.errors import FerryError

TOLERANCE = 1e-4
EVERY_S = 0.01


def main() -> None:
    """Predict until SIGTERM."""
    config, known_npz = sys.argv[1:3]
    known = dict(np.load(known_npz))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    predictions = wrong = 0
    version = ""
    with EdgeModel(config) as model:
        while not stop.is_set() and not model.wait_ready(0.1):
            pass
        _print(ready=model.version or "")
        while model.version and (not stop.wait(EVERY_S) or not predictions):  # once at least, in the shortest life
            row = predictions % len(known["x"])
            predictions += 1
            try:
                answer = model.predict(known["x"][row])
            except FerryError as failed:
                wrong += 1
                _print(failed=str(failed))
                continue
            difference = float(np.abs(answer.output - known[answer.version][row]).max())
            if not difference <= TOLERANCE:
                wrong += 1
                _print(wrong=answer.version, row=row, difference=difference)
            if answer.version != version:
                version = answer.version
                _print(version=version)
    _print(predictions=predictions, wrong_or_failed=wrong)


def _print(**facts: object) -> None:
    os.write(sys.stdout.fileno(), (json.dumps(facts) + "\n").encode())


if __name__ == "__main__":
    main()
