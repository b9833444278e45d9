"""A random walk, every event in every state: the core's invariants hold."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from device_client.core import effects as do
from device_client.core import events as happened
from device_client.core.conditions.readings import Unknown
from device_client.core.policy import Conditional, DownloadLimits, Periodic, Policy, TimeWindow, TrialLimits
from device_client.core.state import RESTING, Device, Phase, State
from device_client.core.state_machine import step, wake_s
from device_client.core.status import status_of
from device_client.core.trial.tally import Tally
from protocol.messages.manifest import Manifest, Requirements
from protocol.messages.plan import Plan
from tests.builders import (
    NOON,
    a_hash,
    a_manifest,
    a_plan,
    a_policy,
    a_rule,
    a_state,
    a_tally,
    a_variant,
    a_version_file,
    fit_readings,
)

VERSIONS: Final = ("1.0.0", "2.0.0", "3.0.0", "4.0.0")
MISSING: Final = tuple(a_hash(f"chunk {number}") for number in range(6))


def manifest_of(version: str) -> Manifest:
    """4.0.0 is too large for most devices; the others come in two sizes."""
    need = Requirements(memory_bytes=10**12 if version == "4.0.0" else 200_000_000)
    large = a_variant("float32", of=version, accuracy=0.95, requires=need)
    small = a_variant("int8", of=version, accuracy=0.94, requires=Requirements(memory_bytes=20_000_000))
    files = [a_version_file("tokens.json"), a_version_file("anchors.npy", of=version)] if version > "1.0.0" else []
    return a_manifest(version, variants=[large] if version == "4.0.0" else [large, small], files=tuple(files))


MANIFESTS: Final = {version: manifest_of(version) for version in VERSIONS}
FILES: Final = tuple(variant.sha256 for manifest in MANIFESTS.values() for variant in manifest.variants)
GOLDEN: Final = tuple(manifest.golden.sha256 for manifest in MANIFESTS.values())
BESIDE: Final = tuple(file.sha256 for manifest in MANIFESTS.values() for file in manifest.files)
POLICIES: Final = (
    a_policy(trial=TrialLimits(restarts_max=1, labels_wait_s=0.0, agreement_min=0.5, probation_inferences=10)),
    a_policy(trial=TrialLimits(restarts_max=3, without_evidence="reject"), strategy=Periodic(every_s=600.0)),
    a_policy(
        strategy=Periodic(windows=(TimeWindow(23 * 60, 60),)), download=DownloadLimits(barren_rounds_max=1, window=2)
    ),
    a_policy(strategy=Conditional(hold_s=60.0), download=DownloadLimits(rate_max_bytes_s=1_000)),
)

versions = st.sampled_from(VERSIONS)
files = st.sampled_from(FILES)
blobs = st.sampled_from(FILES + GOLDEN + BESIDE)
chunks = st.sampled_from(MISSING)
rules = st.builds(
    a_rule,
    versions,
    percent=st.sampled_from((None, None, 0.0, 100.0)),
    attempt=st.sampled_from((1, 1, 1, 2)),
)
readings = st.builds(
    fit_readings,
    battery_percent=st.sampled_from((90.0, 90.0, 90.0, 3.0, Unknown("no battery"))),
    cpu_percent=st.sampled_from((10.0, 10.0, 99.0)),
    held=st.sampled_from(("", "", "", "busy")),
    memory_free_bytes=st.sampled_from((2_000_000_000, 2_000_000_000, 150_000_000)),
    local_minute=st.sampled_from((0, 720)),
)
counts = st.integers(0, 300)
tallies = st.builds(
    Tally,
    inputs=counts,
    agreed=counts,
    shadow_errors=st.integers(0, 5),
    labelled=st.sampled_from((0, 50)),
    both_correct=st.integers(0, 50),
    only_live_correct=st.integers(0, 50),
    only_shadow_correct=st.integers(0, 50),
    confidence_drops=st.sampled_from(((), (0,) * 10 + (200,) + (0,) * 10, (0,) * 20 + (9,))),
    shadow_slow=st.sampled_from((0, 0, 20)),
    live_slow=st.sampled_from((0, 0, 20)),
    live_inferences=counts,
    live_errors=st.sampled_from((0, 0, 0, 9)),
)


class Walk(RuleBasedStateMachine):
    """One device to which anything may happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.policy: Policy = POLICIES[0]
        self.state: State = a_state()
        self.now_s = 0.0
        self.sequence = 0
        self.scarce = False

    @initialize(policy=st.sampled_from(POLICIES), steps=st.integers(0, 14))
    def begin(self, policy: Policy, steps: int) -> None:
        """The owner's choices stay the same for a life."""
        self.policy = policy
        self.happens(happened.Started())
        self.happens(happened.LinkUp())
        self.go_on(steps, "1.0.0")

    def happens(self, event: happened.Event) -> do.Effects:
        """Take the step and check the invariants."""
        before = self.state
        self.state, effects = step(self.policy, before, event, self.now_s)
        self.look_at(before, event, effects)
        return effects

    def look_at(self, before: State, event: happened.Event, effects: do.Effects) -> None:
        device, was = self.state.device, before.device
        saved = device.model_dump_json()  # figures of the evidence are rounded in it, once and for all
        assert Device.model_validate_json(saved).model_dump_json() == saved
        assert 0 < len(device.reason) <= 500
        status = status_of(self.policy, self.state, at=NOON, next_check=None)
        assert len(status.to_line()) < 4_096
        if was.live is not None and device.live is None:
            assert isinstance(event, happened.ModelFailed), "what is live was lost"
            assert event.sha256 == was.live.variant.sha256
        self.look_at_the_way_back(device)
        assert (device.phase is Phase.PROBATION) <= (device.live is not None)
        under_way = {Phase.FETCHING, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION}
        assert (device.phase in under_way) <= (device.target is not None)
        assert (self.state.moment.download is None) or device.phase is Phase.FETCHING
        assert len([effect for effect in effects if isinstance(effect, do.Announce)]) <= 1
        self.look_at_what_is_live(was, device, effects)
        due_s = wake_s(self.policy, self.state)
        assert due_s is None or due_s < self.now_s + 10 * 86_400

    def look_at_the_way_back(self, device: Device) -> None:
        """Each version once; twice while another variant of it is on probation."""
        versions = [installed.version for installed in device.installed()]
        refitted = device.phase is Phase.PROBATION and bool(device.refit)
        assert len(versions) - len(set(versions)) == refitted
        assert len({installed.variant.sha256 for installed in device.installed()}) == len(versions)
        assert device.behind is None or refitted
        assert not device.refit or (device.phase not in RESTING and device.live is not None)

    def look_at_what_is_live(self, was: Device, device: Device, effects: do.Effects) -> None:
        """Whatever is live is served, is kept on the disk, and was not refused."""
        if device.live is None:
            return
        if was.live is None or was.live.variant.sha256 != device.live.variant.sha256:
            swaps = [effect.model for effect in effects if isinstance(effect, do.Swap)]
            assert device.live in swaps, "what is remembered as live was never put there"
            forward = device.target is not None and device.target.version == device.live.version
            assert not forward or device.refused(device.live.version, device.target.attempt) is None  # type: ignore[union-attr]  # `forward` says so
        for effect in effects:
            if isinstance(effect, do.KeepOnly):
                assert set().union(*(installed.files() for installed in device.installed())) <= set(effect.sha256s)

    @rule(version=versions)
    def it_goes_well(self, version: str) -> None:
        """Without this a walk would seldom come far."""
        self.go_on(1, version)

    @rule(steps=st.integers(2, 5), version=versions)
    def it_goes_well_for_a_while(self, steps: int, version: str) -> None:
        """To another phase, and another."""
        self.go_on(steps, version)

    @rule(steps=st.integers(2, 9))
    def it_goes_on_to_the_newest(self, steps: int) -> None:
        """Perhaps to its end."""
        self.go_on(steps, "3.0.0")

    def go_on(self, steps: int, version: str) -> None:
        """Every effect is answered, and well."""
        for _ in range(steps):
            self.now_s += 700.0
            match self.state.device.phase:
                case Phase.ASSIGNED | Phase.DEFERRED:
                    self.read_what_is_free()
                    self.happens(happened.TimePassed())
                case Phase.FETCHING:
                    self.get_blob()
                case Phase.STALLED:
                    self.happens(happened.TimePassed())
                case Phase.PROVING:
                    self.prove(True)
                case Phase.SHADOWING | Phase.PROBATION:
                    self.happens(happened.TallyTaken(a_tally(300)))
                case _:
                    self.plan(version, urgent=False)

    def read_what_is_free(self) -> None:
        """Enough for the small variants, or for all."""
        free_bytes = 150_000_000 if self.scarce else 2_000_000_000
        self.happens(happened.ReadingsTaken(fit_readings(local_minute=0, memory_free_bytes=free_bytes)))

    @rule(scarce=st.booleans())
    def memory_changes(self, scarce: bool) -> None:
        """For good: the next looks see it."""
        self.scarce = scarce
        if self.state.device.phase is Phase.COMMITTED:
            self.become_scarce()

    def become_scarce(self) -> None:
        """Two looks at the variants, with what memory there is."""
        for _ in range(2):
            self.wait(4_000.0)
            self.read_what_is_free()

    @precondition(lambda self: self.state.device.phase is Phase.FETCHING)
    @rule()
    def nothing_comes(self) -> None:
        """The broker has lost its chunks."""
        download = self.state.moment.download
        assert download is not None
        self.happens(happened.LinkUp())
        self.happens(happened.BlobOpened(download.sha256, MISSING[:2], 0, 2))
        for _ in range(60):
            if self.state.device.phase is Phase.FETCHING:
                self.wait(61.0)

    @rule(
        rules=st.lists(rules, max_size=3),
        hold=st.sampled_from((False, False, True)),
        urgent=st.booleans(),
        spread_s=st.sampled_from((0, 0, 300)),
        back=st.sampled_from((0, 0, 0, 0, 2)),
    )
    def a_plan_comes(self, rules: list[Any], hold: bool, urgent: bool, spread_s: int, back: int) -> None:
        """Newer as a rule, sometimes older."""
        self.sequence += 1
        sequence = max(1, self.sequence - back)
        plan = a_plan(
            sequence=sequence, rules=rules, hold=hold, urgency="urgent" if urgent else "routine", spread_s=spread_s
        )
        self.trust(plan)

    @rule(version=versions, urgent=st.booleans())
    def a_plain_plan_comes(self, version: str, urgent: bool) -> None:
        """For everybody."""
        self.plan(version, urgent=urgent)

    def plan(self, version: str, *, urgent: bool) -> None:
        """The next one."""
        self.sequence += 1
        self.trust(a_plan(version, sequence=self.sequence, urgency="urgent" if urgent else "routine"))

    @precondition(lambda self: self.state.device.plan is not None)
    @rule()
    def the_plan_comes_again(self) -> None:
        """As at every connection."""
        if self.state.device.plan is not None:
            self.trust(self.state.device.plan)

    def trust(self, plan: Plan) -> None:
        self.happens(happened.PlanTrusted(plan, {version: MANIFESTS[version] for version in plan.versions()}))

    @rule(seconds=st.sampled_from((0.0, 1.0, 5.0, 30.0, 61.0, 700.0, 4_000.0)))
    def time_passes(self, seconds: float) -> None:
        """A moment or an hour."""
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds
        self.happens(happened.TimePassed())

    @rule(taken=readings)
    def readings_come(self, taken: Any) -> None:
        """Good ones as a rule."""
        self.happens(happened.ReadingsTaken(taken))

    @rule(
        what=st.sampled_from(
            ("up", "down", "refused bundle", "process ends", "model fails", "live fails", "live rots")
        ),
        file=files,
    )
    def a_mishap(self, what: str, file: str) -> None:
        """From outside of what is under way."""
        live = self.state.device.live
        match what:
            case "up":
                self.happens(happened.LinkUp())
            case "down":
                self.happens(happened.LinkDown("a tree"))
            case "refused bundle":
                self.happens(happened.PlanRefused("a stranger signed it"))
            case "process ends":
                self.restart()
            case "live fails" if live is not None:
                self.happens(happened.ModelFailed(live.variant.sha256, "unknown operator"))
            case "live rots" if live is not None:
                self.happens(happened.ModelFailed(live.variant.sha256, "truncated", damaged=True))
            case _:
                self.happens(happened.ModelFailed(file, "truncated"))

    def restart(self) -> None:
        """What was saved comes back, and sooner or later the link."""
        self.state = a_state(Device.model_validate_json(self.state.device.model_dump_json()))
        self.happens(happened.Started())
        self.happens(happened.LinkUp())

    @rule(blob=blobs, missing=st.lists(chunks, unique=True, max_size=4), what=st.sampled_from(("open", "ready", "bad")))
    def a_file_is_looked_at(self, blob: str, missing: list[str], what: str) -> None:
        """Ours or another."""
        download = self.state.moment.download
        sha256 = download.sha256 if download and len(missing) != 1 else blob
        match what:
            case "open":
                self.happens(happened.BlobOpened(sha256, tuple(missing), 1, 1 + len(missing)))
            case "ready":
                self.happens(happened.BlobReady(sha256))
            case _:
                self.happens(happened.BlobBroken(sha256, "other bytes than were signed"))

    def get_blob(self) -> None:
        """The one under way is whole."""
        download = self.state.moment.download
        assert download is not None
        self.happens(happened.BlobReady(download.sha256))

    @rule(chunk=chunks, what=st.sampled_from(("kept", "lied", "swept", "full")))
    def a_chunk_comes(self, chunk: str, what: str) -> None:
        """Or does not, or finds no room."""
        match what:
            case "kept":
                self.happens(happened.ChunkKept(chunk))
            case "lied":
                self.happens(happened.ChunkCorrupt(chunk))
            case "swept":
                self.happens(happened.ChunksSwept(MISSING))
            case _:
                self.happens(happened.DiskFailed("the disk is full"))

    @rule(file=files, ours=st.booleans(), passed=st.sampled_from((True, True, False)))
    def a_proof_ends(self, file: str, ours: bool, passed: bool) -> None:
        """Ours as a rule."""
        if ours:
            self.prove(passed)
        else:
            self.happens(happened.ProofEnded(file, passed, "of another"))

    @rule(file=files)
    def a_proof_is_not_tried(self, file: str) -> None:
        """Ours, or one that was given up."""
        self.happens(happened.ProofNotTried(file, "Too many open files"))

    def prove(self, passed: bool) -> None:
        """The candidate's own proof has ended."""
        target = self.state.device.target
        sha256 = target.variant.sha256 if target else FILES[0]
        self.happens(happened.ProofEnded(sha256, passed, "as hypothesis says", samples=4))

    @rule(tally=tallies)
    def counts_come(self, tally: Tally) -> None:
        """Good or bad."""
        self.happens(happened.TallyTaken(tally))


TestWalk = Walk.TestCase
TestWalk.settings = settings(suppress_health_check=[HealthCheck.too_slow])
