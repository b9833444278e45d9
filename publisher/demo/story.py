"""The story: a good release, a better one, a bad one; what each device makes of them is read off the topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import FerryError
from protocol.topics import Topics
from publisher.adapters.broker_client import BrokerClient
from publisher.demo.fleet_observer import FleetObserver
from publisher.demo.processes import Processes, start_broker, start_device
from publisher.learning.artifacts.build import build_from_recipe
from publisher.learning.recipe.heldout import write_heldout_npz
from publisher.learning.recipe.recipe import load_recipe
from publisher.operations.context import PublisherContext, open_context
from publisher.operations.enroll import SETTINGS, Enrolment, enroll
from publisher.operations.fleet_status import Reader
from publisher.operations.init import init
from publisher.operations.progress import Progress
from publisher.operations.release.release import Released, ReleaseRequest, release
from publisher.settings import Settings

if TYPE_CHECKING:
    from publisher.core.fleet.fleet_table import Row
    from publisher.learning.recipe.recipe import Recipe

MODEL: Final = "digits"
DEVICES: Final = ("pi-1", "pi-2", "pi-3")
RATE_HZ: Final = 25.0
LABEL_SHARE: Final = 0.4
WAIT_S: Final = 60.0
FEEDBACK_EVERY_S: Final = 2.0
QUICKER: Final = f"""
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

Tell = Callable[[str], None]


@dataclass
class Findings:
    """What the topics said."""

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
        """Whether the story went as it should."""
        everybody = len(DEVICES)
        counts = (self.adopted_1_0_0, self.adopted_1_1_0, self.refused_1_2_0, self.running_1_1_0)
        return counts == (everybody,) * 4 and self.failed_inferences == 0 and self.inferences > 0

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        hidden = {"rows", "feedback", "event"}
        return {name: value for name, value in vars(self).items() if name not in hidden} | {"came_true": self.came_true}


Show = Callable[[Findings, str], None]
"""Shows what was found, while the broker of this address is still there."""


def tell_story(folder: Path, progress: Progress, tell: Tell, *, embedded: bool, show: Show) -> Findings:
    """Live through it in `folder`. Raises FerryError when a part of it does not come about in time."""
    began_s = time.monotonic()
    found = Findings()
    with Processes(folder) as processes:
        found.broker, url = start_broker(processes, folder, embedded=embedded)
        settings = Settings.read({"broker": url, "registry": str(folder / "registry")}, {})
        port = settings.broker.port
        tell(f"A broker: {found.broker} on port {port}. To watch, in another terminal:\n{watch_command(port)}")
        recipe = _found_fleet(folder, settings, progress)
        tell(f"A registry with its keys, and {len(DEVICES)} enrolled devices: {', '.join(DEVICES)}.")
        with (
            FleetObserver(settings.broker, Topics()) as witness,
            open_context(settings, progress, broker=True) as context,
        ):
            stage = _Act(context, witness, processes, recipe, tell)
            for device in DEVICES:
                start_device(
                    processes, folder / device, folder / "heldout.npz", rate_hz=RATE_HZ, label_share=LABEL_SHARE
                )
            stage.good_release()
            stage.better_release()
            stage.bad_release()
            stage.sum_up(found)
            found.rows = _table(context.broker, settings)
        found.seconds = round(time.monotonic() - began_s, 1)
        show(found, url)
    return found


def watch_command(port: int) -> str:
    """What to type to see every word of the fleet."""
    return f"  mosquitto_sub -p {port} -t 'fleet/v1/devices/#' -F '%t %p'"


def _found_fleet(folder: Path, settings: Settings, progress: Progress) -> Recipe:
    init(settings.registry, topic_root=Topics().root, now=datetime.now(UTC))
    recipe = load_recipe(MODEL)
    write_heldout_npz(recipe, folder / "heldout.npz")
    with open_context(settings, progress, broker=False) as context:
        for device in DEVICES:
            enroll(context, Enrolment(device, models=(MODEL,)), folder / device)
            toml = folder / device / SETTINGS
            text = toml.read_text()
            at = text.index("[[models]]")  # sections come before the list of models
            toml.write_text(f"{text[:at].rstrip()}\n{QUICKER}\n{text[at:]}")
    return recipe


class _Act:
    """The three acts."""

    def __init__(
        self, context: PublisherContext, witness: FleetObserver, processes: Processes, recipe: Recipe, tell: Tell
    ) -> None:
        self._context, self._witness, self._processes = context, witness, processes
        self._recipe, self._tell = recipe, tell

    def good_release(self) -> None:
        """1.0.0: the first model."""
        self._tell("\n1.0.0: a first model, trained on scikit-learn's handwritten digits.")
        released = self._release("1.0.0", epochs=12)
        self._tell(_made(released))
        self._wait(lambda: self._witness.devices("adopted", "1.0.0") >= len(DEVICES), "adopt 1.0.0")
        self._tell("Every device fetched it, reproduced its golden outputs and adopted it.")

    def better_release(self) -> None:
        """1.1.0: trained longer."""
        self._tell("\n1.1.0: the same network, trained longer, while the devices answer.")
        released = self._release("1.1.0", epochs=40)
        self._tell(_made(released))
        self._wait(lambda: self._witness.devices("adopted", "1.1.0") >= len(DEVICES), "adopt 1.1.0")
        self._tell("It ran beside 1.0.0 on live inputs first, then took over; every device adopted it.")

    def bad_release(self) -> None:
        """1.2.0: trained on scrambled labels, forced past the gate."""
        self._tell("\n1.2.0: a bad one: trained on scrambled labels, forced past the accuracy gate.")
        released = self._release("1.2.0", epochs=12, scramble_labels=True)
        self._tell(_made(released))
        self._wait(lambda: self._witness.devices("rejected", "1.2.0") >= len(DEVICES), "refuse 1.2.0")
        why = next(said.reason for said in self._witness.outcomes.values() if said.outcome == "rejected")
        self._tell(f'Every device refused it, and says why: "{why}".')

    def sum_up(self, found: Findings) -> None:
        """Listen for one more window of feedback, then count."""
        heard = len(self._witness.windows)
        self._wait(lambda: len(self._witness.windows) >= heard + 2 * len(DEVICES), "report feedback")
        witness = self._witness
        found.adopted_1_0_0 = witness.devices("adopted", "1.0.0")
        found.adopted_1_1_0 = witness.devices("adopted", "1.1.0")
        found.refused_1_2_0 = witness.devices("rejected", "1.2.0")
        found.running_1_1_0 = witness.running("1.1.0")
        found.inferences, found.failed_inferences = witness.inferences, witness.failed_inferences
        found.accuracy_1_0_0, found.accuracy_1_1_0 = witness.accuracy("1.0.0"), witness.accuracy("1.1.0")
        found.feedback, found.event = witness.last_feedback, witness.last_refusal
        found.refusal = next(said.reason for said in witness.outcomes.values() if said.outcome == "rejected")

    def _release(self, version: str, *, epochs: int, scramble_labels: bool = False) -> Released:
        self._processes.check_alive()
        order = ReleaseRequest(MODEL, version, force=scramble_labels, notes="demo")
        return release(
            self._context,
            order,
            lambda progress: build_from_recipe(
                self._recipe, epochs=epochs, scramble_labels=scramble_labels, on_progress=progress
            ),
        )

    def _wait(self, come_true: Callable[[], bool], what: str) -> None:
        if self._witness.wait_until(come_true, timeout_s=WAIT_S, meanwhile=self._processes.check_alive):
            return
        standing = "\n".join(f"  {name}: {said.state}: {said.reason}" for name, said in self._witness.statuses.items())
        raise FerryError(f"not every device would {what} within {WAIT_S:.0f} s; they say:\n{standing or '  nothing'}")


def _made(released: Released) -> str:
    accuracy = f"{released.accuracy:.1%} of the held-back digits right" if released.accuracy is not None else "made"
    variants = ", ".join(f"{variant.name} {variant.size_bytes / 1e3:.0f} kB" for variant in released.manifest.variants)
    sent = f"{released.uploaded.chunks} chunks, {released.uploaded.size_bytes / 1e6:.1f} MB uploaded"
    return f"  {accuracy}; {variants}; {sent}."


def _table(broker: BrokerClient, settings: Settings) -> list[Row]:
    return list(Reader(broker, Topics(settings.root or Topics().root), DEVICES, (MODEL,)).read().rows)
