"""Each device takes the variant that fits it, and another when that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protocol.messages.manifest import Measured, Requirements
from protocol.topics import Kind
from publisher.learning.artifacts.build import BuiltVersion
from publisher.operations.context import PublisherContext, open_context
from publisher.operations.enroll import Enrolment, enroll
from publisher.operations.init import init
from publisher.operations.progress import SilentProgress
from publisher.operations.release.release import ReleaseRequest, release
from publisher.settings import Settings
from tests.brokers import mosquitto
from tests.integration import fleet_models
from tests.integration.fleet import DeviceFolder, a_device, running
from tests.integration.fleet_observer import observing

MB = 1_000_000
TIGHTENED = "the settings speak against its variant, others are looked at: float32 needs 200 MB of memory, 100 MB may"
FIGURES = {  # as a larger network would have them
    "float32": (Requirements(memory_bytes=200 * MB), Measured(accuracy=0.98, latency_ms_p95=12.0)),
    "int8": (Requirements(memory_bytes=60 * MB), Measured(accuracy=0.97, latency_ms_p95=4.0)),
}


def made(digits: Path) -> BuiltVersion:
    whole = fleet_models.made(digits, "1.0.0")
    variants = (
        replace(variant, requires=FIGURES[variant.name][0], measured=FIGURES[variant.name][1])
        for variant in whole.variants
    )
    return replace(whole, variants=tuple(variants))


def enrolled(context: PublisherContext, folder: Path, device: str, budgets: str) -> DeviceFolder:
    """A device whose settings for digits are `budgets`."""
    enroll(context, Enrolment(device), folder / "enrolled" / device)
    root = (folder / "enrolled" / device / "root.json").read_bytes()
    pi = a_device(folder / device, device, f"mqtt://{context.settings.broker.address}", root)
    pi.config.write_text(f'{pi.config.read_text()}\n[[models]]\nname = "digits"\n{budgets}\n')
    return pi


def reason(status: Mapping[str, Any]) -> str:
    return str(status["reason"])


def test_devices_with_different_budgets_take_different_variants_and_say_why(digits: Path, tmp_path: Path) -> None:
    with mosquitto() as broker:
        settings = Settings.read({"broker": broker.url, "registry": str(tmp_path / "registry")}, {})
        init(settings.registry, topic_root="fleet", now=datetime.now(UTC))
        with open_context(settings, SilentProgress(), broker=True) as context:
            roomy = enrolled(context, tmp_path, "pi-roomy", "memory_budget_mb = 500")
            tight = enrolled(context, tmp_path, "pi-tight", "memory_budget_mb = 100")
            quick = enrolled(context, tmp_path, "pi-quick", "memory_budget_mb = 500\nlatency_budget_ms = 5")
            release(context, ReleaseRequest("digits", "1.0.0"), lambda _: made(digits))
        replay = ("--replay", str(digits / "held.npz"), "--rate", "100")
        with observing(settings.broker) as fleet:
            with running(roomy, *replay), running(tight, *replay), running(quick, *replay):
                large = fleet.state("pi-roomy", "committed", installed_version="1.0.0")
                small = fleet.state("pi-tight", "committed", installed_version="1.0.0")
                early = fleet.state("pi-quick", "committed", installed_version="1.0.0")
            roomy.config.write_text(roomy.config.read_text().replace("budget_mb = 500", "budget_mb = 100"))
            with running(roomy, *replay):
                fleet.wait(Kind.STATUS, lambda says: TIGHTENED in reason(says), device="pi-roomy")
                refitted = fleet.state("pi-roomy", "committed", installed_version="1.0.0", variant="int8")
                swapped = fleet.wait(Kind.EVENT, lambda says: says["variant"] == "int8", device="pi-roomy")

    assert (large["variant"], small["variant"], early["variant"]) == ("float32", "int8", "int8")
    assert reason(large).endswith("; variant float32, the most accurate of 2 that fit")
    only = "; variant int8, the only one that fits; "
    assert reason(small).endswith(f"{only}float32 needs 200 MB of memory, 100 MB may be used")
    assert reason(early).endswith(f"{only}float32 takes 12 ms (p95 at the publisher's), 5 ms may be used")
    assert reason(refitted).endswith(f"{only}float32 needs 200 MB of memory, 100 MB may be used")
    assert (swapped["outcome"], swapped["from_version"], swapped["version"]) == ("adopted", "1.0.0", "1.0.0")
    for pi, variant in ((roomy, "int8"), (tight, "int8"), (quick, "int8")):
        remembered = pi.remembered()
        assert remembered is not None
        assert remembered.live is not None
        assert remembered.live.variant.name == variant
        pi.check_files()
