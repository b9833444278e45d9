"""The demo: a good release, a better one, and a bad one that devices reject."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from protocol.errors import FerryError
from protocol.topics import Topics
from publisher.core.fleet.fleet_table import Row
from publisher.demo.fleet_observer import FleetObserver
from publisher.demo.processes import Processes, start_broker, start_device
from publisher.learning.artifacts.build import build_from_recipe
from publisher.learning.recipe.heldout import write_heldout_npz
from publisher.learning.recipe.recipe import Recipe, load_recipe
from publisher.operations.context import PublisherContext, open_context
from publisher.operations.enroll import SETTINGS, Enrolment, enroll
from publisher.operations.fleet_status import read_fleet_status
from publisher.operations.init import init
from publisher.operations.progress import Progress
from publisher.operations.release.release import Released, ReleaseRequest, release
from publisher.settings import Settings

MODEL: Final = "digits"
DEVICES: Final = ("pi-1", "pi-2", "pi-3")
RATE_HZ: Final = 25.0
LABEL_SHARE: Final = 0.4
WAIT_S: Final = 60.0
FEEDBACK_EVERY_S: Final = 2.0
DEVICE_SETTINGS: Final = f"""
# The demo is in a hurry; a real device takes its time. Three devices and a training share this machine's processors.
[conditions]
cpu_max_percent = 100

[strategy]
kind = "conditional"
recheck_s = 1

[trial]
accuracy_drop_max = 0.1
probation_share = 1
probation_inferences = 80
probation_min_s = 3

[feedback]
every_s = {FEEDBACK_EVERY_S:g}
"""

Narrate = Callable[[str], None]


@dataclass
class Findings:
    broker: str = ""
    adopted_1_0_0: int = 0
    adopted_1_1_0: int = 0
    refused_1_2_0: int = 0
    running_1_1_0: int = 0
    inferences: int = 0
    failed_inferences: int = 0
    accuracy_1_0_0: float | None = None
    accuracy_1_1_0: float | None = None
    refusal: str = ""
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    feedback: tuple[str, bytes] = ("", b"")
    event: tuple[str, bytes] = ("", b"")

    @property
    def came_true(self) -> bool:
        counts = (self.adopted_1_0_0, self.adopted_1_1_0, self.refused_1_2_0, self.running_1_1_0)
        return counts == (len(DEVICES),) * 4 and self.failed_inferences == 0 and self.inferences > 0

    def as_dict(self) -> dict[str, Any]:
        hidden = {"rows", "feedback", "event"}
        return {name: value for name, value in vars(self).items() if name not in hidden} | {"came_true": self.came_true}


OnFindings = Callable[[Findings, str], None]
"""Called with the findings and the broker's URL, while the broker still runs."""


def run_scenario(
    folder: Path, progress: Progress, narrate: Narrate, *, embedded: bool, on_findings: OnFindings
) -> Findings:
    """Run the demo in `folder`. Raises FerryError if a step takes too long."""
    began_s = time.monotonic()
    findings = Findings()
    with Processes(folder) as processes:
        findings.broker, url = start_broker(processes, folder, embedded=embedded)
        settings = Settings.read({"broker": url, "registry": str(folder / "registry")}, {})
        port = settings.broker.port
        narrate(f"A broker: {findings.broker} on port {port}. To watch, in another terminal:\n{watch_command(port)}")
        recipe = _make_fleet(folder, settings, progress)
        narrate(f"A registry with its keys, and {len(DEVICES)} enrolled devices: {', '.join(DEVICES)}.")
        with (
            FleetObserver(settings.broker, Topics()) as observer,
            open_context(settings, progress, broker=True) as context,
        ):
            scenario = _Scenario(context, observer, processes, recipe, narrate)
            for device in DEVICES:
                start_device(
                    processes, folder / device, folder / "heldout.npz", rate_hz=RATE_HZ, label_share=LABEL_SHARE
                )
            scenario.good_release()
            scenario.better_release()
            scenario.bad_release()
            scenario.sum_up(findings)
            findings.rows = list(read_fleet_status(context).rows)
        findings.seconds = round(time.monotonic() - began_s, 1)
        on_findings(findings, url)
    return findings


def watch_command(port: int) -> str:
    return f"  mosquitto_sub -p {port} -t 'fleet/v1/devices/#' -F '%t %p'"


def _make_fleet(folder: Path, settings: Settings, progress: Progress) -> Recipe:
    init(settings.registry, topic_root=Topics().root, now=datetime.now(UTC))
    recipe = load_recipe(MODEL)
    write_heldout_npz(recipe, folder / "heldout.npz")
    with open_context(settings, progress, broker=False) as context:
        for device in DEVICES:
            enroll(context, Enrolment(device, models=(MODEL,)), folder / device)
            toml = folder / device / SETTINGS
            text = toml.read_text()
            at = text.index("[[models]]")  # sections must precede the list of models
            toml.write_text(f"{text[:at].rstrip()}\n{DEVICE_SETTINGS}\n{text[at:]}")
    return recipe


class _Scenario:
    def __init__(
        self, context: PublisherContext, observer: FleetObserver, processes: Processes, recipe: Recipe, narrate: Narrate
    ) -> None:
        self._context, self._observer, self._processes = context, observer, processes
        self._recipe, self._narrate = recipe, narrate

    def good_release(self) -> None:
        self._narrate("\n1.0.0: a first model, trained on scikit-learn's handwritten digits.")
        self._release("1.0.0", epochs=12)
        self._wait(lambda: self._observer.devices("adopted", "1.0.0") >= len(DEVICES), "adopt 1.0.0")
        self._narrate("Every device fetched it, reproduced its golden outputs and adopted it.")

    def better_release(self) -> None:
        self._narrate("\n1.1.0: the same network, trained longer, while the devices answer.")
        self._release("1.1.0", epochs=40)
        self._wait(lambda: self._observer.devices("adopted", "1.1.0") >= len(DEVICES), "adopt 1.1.0")
        self._narrate("It ran beside 1.0.0 on live inputs first, then took over; every device adopted it.")

    def bad_release(self) -> None:
        self._narrate("\n1.2.0: a bad one: trained on scrambled labels, forced past the accuracy gate.")
        self._release("1.2.0", epochs=12, scramble_labels=True)
        self._wait(lambda: self._observer.devices("rejected", "1.2.0") >= len(DEVICES), "refuse 1.2.0")
        reason = self._observer.rejection_reason()
        self._narrate(f'Every device refused it, and says why: "{reason}".')

    def sum_up(self, findings: Findings) -> None:
        known = len(self._observer.windows)
        self._wait(lambda: len(self._observer.windows) >= known + 2 * len(DEVICES), "report feedback")
        observer = self._observer
        findings.adopted_1_0_0 = observer.devices("adopted", "1.0.0")
        findings.adopted_1_1_0 = observer.devices("adopted", "1.1.0")
        findings.refused_1_2_0 = observer.devices("rejected", "1.2.0")
        findings.running_1_1_0 = observer.running("1.1.0")
        findings.inferences, findings.failed_inferences = observer.inferences, observer.failed_inferences
        findings.accuracy_1_0_0, findings.accuracy_1_1_0 = observer.accuracy("1.0.0"), observer.accuracy("1.1.0")
        findings.feedback, findings.event = observer.last_feedback, observer.last_refusal
        findings.refusal = observer.rejection_reason()

    def _release(self, version: str, *, epochs: int, scramble_labels: bool = False) -> None:
        self._processes.check_alive()
        request = ReleaseRequest(MODEL, version, force=scramble_labels, notes="demo")
        build = partial(build_from_recipe, self._recipe, epochs=epochs, scramble_labels=scramble_labels)
        released = release(self._context, request, lambda progress: build(on_progress=progress))
        self._narrate(_describe(released))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        if self._observer.wait_until(condition, timeout_s=WAIT_S, meanwhile=self._processes.check_alive):
            return
        statuses = self._observer.statuses.items()
        states = "\n".join(f"  {name}: {status.state}: {status.reason}" for name, status in statuses)
        raise FerryError(f"not every device would {what} within {WAIT_S:.0f} s; they say:\n{states or '  nothing'}")


def _describe(released: Released) -> str:
    accuracy = f"{released.accuracy:.1%} of the held-back digits right" if released.accuracy is not None else "made"
    variants = ", ".join(f"{variant.name} {variant.size_bytes / 1e3:.0f} kB" for variant in released.manifest.variants)
    sent = f"{released.uploaded.chunks} chunks, {released.uploaded.size_bytes / 1e6:.1f} MB uploaded"
    return f"  {accuracy}; {variants}; {sent}."
