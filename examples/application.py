"""An application on a device: it asks the model, and never notices an update. Run: python application.py device.toml"""

from __future__ import annotations

import sys

import numpy as np

from device_client import EdgeModel

with EdgeModel(sys.argv[1]) as model:
    model.wait_ready()  # the very first version has to come from somewhere
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 10):
        image = np.random.default_rng().uniform(0, 1, 784).astype(np.float32)  # a camera, in earnest
        answer = model.predict(image)
        sys.stdout.write(f"{answer.version} says {answer.label}, {answer.confidence:.0%} sure\n")
        if answer.label == "7":  # somebody knows better
            model.label(answer, 1)
