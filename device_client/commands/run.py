"""`device-client run`: the device, and optionally a replay of recorded inputs."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from device_client.commands.options import HERE, Broker, Config, ModelName, models_of
from device_client.replay import Recording, ReplayCounts
from device_client.replay import replay as replay_recording
from device_client.service.device_service import DeviceService
from device_client.settings.loader import load
from protocol.errors import FerryError

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]


def run(
    config: Config = HERE,
    broker: Broker = None,
    replay: Annotated[Path | None, typer.Option(help="Ask the model about the rows of this .npz (x, and y).")] = None,
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="Inputs a second to replay.")] = 10.0,
    label_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the true labels to tell.")] = 0.2,
    model: ModelName = None,
    verbose: Verbose = False,
) -> None:
    """Run this device until it is stopped with Ctrl-C or SIGTERM."""
    _log_to_stderr(verbose)
    settings = load(config, broker=broker)
    recording = Recording.read(replay) if replay else None
    name = models_of(settings, model)[0]
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    service = DeviceService(settings).start()
    count = ReplayCounts()
    try:
        serving = service.servings[name]
        while not stop.is_set() and service.alive:
            if recording is None or not serving.wait_ready(0.2):
                stop.wait(0.2)
                continue
            replay_recording(serving, recording, rate_hz=rate, label_share=label_share, stop=stop, count=count)
        if not service.alive and not stop.is_set():
            raise FerryError("the updater has ended by itself", hint="the log above says why; please report it")
    finally:
        service.close()
    if recording is not None:
        typer.echo(json.dumps({"predictions": count.predictions, "failed": count.failed}))


def _log_to_stderr(verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("device_client").setLevel(level)
