"""An application on a device. Updates happen in the background.

python application.py device.toml [PREDICTIONS]
"""

from __future__ import annotations

import sys

import numpy as np

from device_client import EdgeModel

with EdgeModel(sys.argv[1]) as model:
    model.wait_ready()  # until the first version is installed
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 10):
        image = np.random.default_rng().uniform(0, 1, 784).astype(np.float32)  # instead of a camera
        answer = model.predict(image)
        sys.stdout.write(f"{answer.version} says {answer.label}, {answer.confidence:.0%} sure\n")
        if answer.label == "7":  # a label, as an operator may give it
            model.label(answer, 1)
