"""Devices beside a broker that is gone, empty, or refuses them."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from protocol.topics import Kind
from publisher.operations.context import open_context
from publisher.operations.enroll import Enrolment, enroll
from publisher.operations.init import init
from publisher.operations.progress import SilentProgress
from publisher.operations.release.release import ReleaseRequest, release
from publisher.settings import Settings
from tests.brokers import Mosquitto, mosquitto_with_users, url_of
from tests.integration import fleet_models
from tests.integration.fleet import (
    CHUNK_BYTES,
    DeviceFolder,
    Process,
    a_device,
    run_command,
    run_device,
    running,
    start,
)
from tests.integration.fleet_observer import observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher

FLEET = ("pi-1", "pi-2", "pi-3")
SERVE = (sys.executable, "-c", "from publisher.cli import main; main()", "serve")


def a_registry(folder: Path, url: str) -> Settings:
    """A real registry, for a real `publisher serve`."""
    settings = Settings.read({"broker": url, "registry": str(folder / "registry")}, {})
    init(settings.registry, topic_root="fleet", now=datetime.now(UTC))
    return settings


def enrolled(settings: Settings, folder: Path, device: str, **changes: Any) -> DeviceFolder:
    """A device's folder with the registry's own root, and short delays."""
    with open_context(settings, SilentProgress(), broker=False) as context:
        enroll(context, Enrolment(device), folder / "enrolled" / device)
    root = (folder / "enrolled" / device / "root.json").read_bytes()
    return a_device(folder / device, device, f"mqtt://{settings.broker.address}", root, **changes)


def test_a_broker_that_comes_back_empty_in_mid_download_is_filled_again_and_all_converge(
    broker: Mosquitto, digits: Path, tmp_path: Path
) -> None:
    settings = a_registry(tmp_path, broker.url)
    slow = {"rate_max_bytes_s": 3 * CHUNK_BYTES}  # two seconds and more
    folders = [enrolled(settings, tmp_path, device, download=slow, variant="float32") for device in FLEET]
    with ExitStack() as alive, observing(url_of(broker)) as observer:
        serve = start(folders[0], *SERVE, "--broker", broker.url, "--registry", str(settings.registry))
        alive.callback(end, serve)
        for folder in folders:
            alive.callback(end, run_device(folder))
            observer.state(folder.device, "idle")
        with open_context(settings, SilentProgress(), broker=True) as context:
            release(context, ReleaseRequest("digits", "1.0.0"), lambda _: fleet_models.made(digits, "1.0.0"))
        for folder in folders:
            observer.wait(
                Kind.STATUS, lambda says: 10 < (says.get("update_percentage") or 0) < 90, device=folder.device
            )
        broker.kill()
        broker.start()  # it keeps nothing on disk
        for folder in folders:
            observer.state(folder.device, "probation", installed_version="1.0.0")
            folder.check_files()
        assert all("Traceback" not in folder.path.joinpath("stderr").read_text() for folder in folders)


def end(process: Process) -> None:
    if process.alive:
        process.kill()


def test_what_happened_while_the_broker_was_gone_is_told_even_after_a_death(
    broker: Mosquitto, digits: Path, tmp_path: Path
) -> None:
    known = tmp_path / "x.npz"
    np.savez(known, x=np.random.default_rng(9).uniform(0, 1, (40, 784)).astype(np.float32))
    replay = ("--replay", str(known), "--rate", "100")
    trial = {"probation_min_s": 2.0}
    with UncheckedPublisher(url_of(broker), tmp_path) as publisher, observing(url_of(broker)) as observer:
        publisher.add_version("1.0.0", Source.of(digits / "digits.tflite"))
        pi = a_device(tmp_path / "pi", "pi", broker.url, publisher.authority.root, trial=trial)
        publisher.announce("1.0.0")
        with running(pi, *replay) as process:
            observer.state("pi", "probation")
            broker.kill()
            process.wait_for_stderr("committed: runs 1.0.0")
            process.kill()
        (held,) = pi.outbox().items()
        broker.start()
        observer.wait_subscribed()
        since = observer.mark()
        with running(pi, *replay):
            event = observer.wait(Kind.EVENT, lambda says: says["event_id"] == held[0], since=since)
            pi.until_delivered()
    assert event == json.loads(held[1])
    assert event["outcome"] == "adopted"


def test_a_wrong_password_is_said_and_stops_nothing_but_the_talk(digits: Path, tmp_path: Path) -> None:
    known = tmp_path / "x.npz"
    np.savez(known, x=np.random.default_rng(9).uniform(0, 1, (40, 784)).astype(np.float32))
    users = {"pi": "right", "publisher": "publisher"}
    with mosquitto_with_users(users) as broker:
        url = url_of(broker, "publisher", "publisher")
        with UncheckedPublisher(url, tmp_path) as publisher, observing(url) as observer:
            publisher.add_version("1.0.0", Source.of(digits / "digits.tflite"))
            root = publisher.authority.root
            pi = a_device(tmp_path / "pi", "pi", broker.url, root, user="pi", password="right")
            publisher.announce("1.0.0")
            with running(pi, "--replay", str(known), "--rate", "50"):
                observer.state("pi", "committed")
        pi = a_device(tmp_path / "pi", "pi", broker.url, root, user="pi", password="wrong")
        before = pi.path.joinpath("stdout").stat().st_size
        with running(pi, "--replay", str(known), "--rate", "50") as process:
            process.wait_for_stderr("refuses the user 'pi': wrong user or password")
            doctor = run_command("doctor", "--config", str(pi.config))
            assert process.stop() == 0
        counts = json.loads(process.stdout[before:])
        assert (counts["failed"], counts["predictions"] > 0) == (0, True)
        assert "wrong" not in process.stderr.replace("wrong user or password", "")
    assert doctor.code == 1
    assert "bad   broker: " in doctor.out
    assert "-> check `user` and `password` in device.toml" in doctor.out
    doctor.is_plain()
