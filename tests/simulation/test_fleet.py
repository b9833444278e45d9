"""A fleet, a lossy broker and power cuts, from one seed: every device ends right."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from device_client.core.policy import Conditional, DownloadLimits, Policy, TrialLimits
from device_client.core.state import Device
from protocol.messages.device import Outcome
from publisher.core.rollout.audience import Audience
from tests.simulation.device import SimDevice
from tests.simulation.publisher import MODEL, SimPublisher, SimRegistry, accept
from tests.simulation.world import Broker, Faults, World

DEVICES = 20
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "300"))
FIRST_SEED = int(os.environ.get("SIMULATION_FIRST_SEED", "0"))
SHORT_SEEDS_MAX = 50 if "SIMULATION_SEEDS" not in os.environ else sys.maxsize
BATCH = 25
CALM_AFTER_S = 3_000.0
END_S = 6 * 3_600.0
RECALL_S = 4 * 3_600.0  # everything has settled by then


SECOND = {"good": "adopted", "weak": "rejected", "broken": "rejected", "sour": "rolled_back"}


class Fleet:
    """Twenty devices, a publisher that serves, a broker, and an observer."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        rng = self.world.rng
        self.kind = rng.choice(("good", "weak", "broken", "sour"))
        self.recalled = self.kind == "good" and rng.random() < 0.5
        self.sweeps_before_recall = 0
        self.broker_faults = Faults(drop=0.1, duplicate=0.1, corrupt=0.02, delay_max_s=rng.choice((0.05, 1.0)))
        self.broker = Broker(self.world, self.broker_faults)
        self.quality = {"1.0.0": "good", "2.0.0": self.kind}
        registry = SimRegistry()
        registry.add("1.0.0", leaves=rng.randint(1, 12))
        registry.add("2.0.0", leaves=rng.randint(2, 12))
        self.outcomes: dict[str, Outcome] = {}
        self.broker.watchers.append(self._watch)
        self.publisher = SimPublisher(self.world, self.broker, registry)
        self.devices = {name: self._device(name) for name in (f"pi-{number}" for number in range(DEVICES))}

    def live_through(self) -> None:
        """Release two versions, with faults until a calm end."""
        world, rng = self.world, self.world.rng
        for device in self.devices.values():
            device.power.cut_probability = rng.choice((0.0, 0.002, 0.02))
            world.after(rng.uniform(0.0, 60.0), device.switch_on)
        world.after(5.0, lambda: self.publisher.release("1.0.0", Audience()))
        world.after(600.0, lambda: self.publisher.release("2.0.0", Audience(percent=30.0)))
        world.after(rng.uniform(2_000.0, 2_700.0), lambda: self.publisher.release("2.0.0", Audience()))
        for _ in range(rng.randint(0, 3)):
            world.after(rng.uniform(10.0, CALM_AFTER_S), self.publisher.kill)
        for _ in range(rng.randint(0, 2)):
            world.after(rng.uniform(10.0, CALM_AFTER_S), self.broker.restart_empty)
        for _ in range(rng.randint(0, 60)):
            world.after(rng.uniform(0.0, CALM_AFTER_S), self._cut_one)
        for _ in range(rng.randint(0, 40)):
            world.after(rng.uniform(60.0, CALM_AFTER_S), self._unplug_one)
        world.after(CALM_AFTER_S, self._calm)
        world.run(RECALL_S)
        if self.recalled:
            self.sweeps_before_recall = self.broker.chunk_sweeps
            self.publisher.roll_back()
        world.run(END_S)

    def faults(self) -> list[str]:
        """Broken promises; empty when all were kept."""
        found = []
        if self.recalled and self.broker.chunk_sweeps > self.sweeps_before_recall:
            found.append("the recall moved chunks, though the version before was still on every disk")
        right = "2.0.0" if self.kind == "good" and not self.recalled else "1.0.0"
        for name, device in self.devices.items():
            assert device.disk.state is not None
            state = Device.model_validate_json(device.disk.state)
            live = state.live.version if state.live else None
            if live != right or device.serving.live != right:
                found.append(
                    f"{name} remembers {live}, serves {device.serving.live}, should run {right}: {state.reason}"
                )
            if state.live and device.disk.current != state.live.variant.sha256:
                found.append(f"{name}: current.tflite points elsewhere")
            if device.serving.half_written:
                found.append(f"{name} opened a file that was not whole")
            if lost := device.disk.ever_announced - set(self.outcomes):
                found.append(f"{name}: nobody heard of {len(lost)} final events")
            found += self._wrong_outcomes(name)
            if device.disk.files != set(state.files()):
                found.append(f"{name} keeps {len(device.disk.files)} files, not those of current and previous")
        return found

    def _wrong_outcomes(self, name: str) -> list[str]:
        reported = {(o.version, o.outcome) for o in self.outcomes.values() if o.device == name}
        expected = {("1.0.0", "adopted"), ("2.0.0", SECOND[self.kind])}
        return [] if reported == expected else [f"{name} reported {sorted(reported)}, expected {sorted(expected)}"]

    def _device(self, name: str) -> SimDevice:
        policy = Policy(
            device=name,
            model=MODEL,
            strategy=Conditional(recheck_s=20.0),
            download=DownloadLimits(stalled_retry_s=120.0),
            trial=TrialLimits(poll_s=5.0, restarts_max=1_000),
        )
        return SimDevice(self.world, self.broker, policy, accept, self.quality, self.publisher.registry.versions)

    def _watch(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/event"):
            outcome = Outcome.from_line(payload)
            self.outcomes[outcome.event_id] = outcome
        elif topic.endswith("/desired") and self.publisher.announced_in_restart == self.broker.restarts:
            lacking = [
                root
                for root in self.publisher.registry.roots()
                if f"fleet/v1/chunks/{root}" not in self.broker.retained
            ]
            assert not lacking, "announced before all of its chunks were there"

    def _cut_one(self) -> None:
        device = self.world.rng.choice(list(self.devices.values()))
        if device.link is not None:
            device.link.cut("a tree fell on the mast", back_after_s=self.world.rng.choice((0.1, 5.0, 300.0)))

    def _unplug_one(self) -> None:
        device = self.world.rng.choice(list(self.devices.values()))
        if device.engine is not None:
            device.cut_power()

    def _calm(self) -> None:
        self.broker_faults.drop = self.broker_faults.duplicate = self.broker_faults.corrupt = 0.0
        for device in self.devices.values():
            device.power.cut_probability = 0.0


def batches() -> list[Any]:
    """The first seeds of all batches; of 300 seeds, `scripts/test --long` runs 250."""
    firsts = range(FIRST_SEED, FIRST_SEED + SEEDS, BATCH)
    return [pytest.param(first, marks=pytest.mark.slow if first >= SHORT_SEEDS_MAX else ()) for first in firsts]


@pytest.mark.parametrize("first", batches())
def test_every_device_ends_on_the_right_version_and_every_final_event_is_heard(first: int) -> None:
    for seed in range(first, min(first + BATCH, FIRST_SEED + SEEDS)):
        fleet = Fleet(seed)
        fleet.live_through()
        faults = fleet.faults()
        again = f"SIMULATION_FIRST_SEED={seed} SIMULATION_SEEDS=1 scripts/test tests/simulation"
        assert not faults, f"seed {seed} ({fleet.kind}); again with: {again}\n" + "\n".join(faults)
