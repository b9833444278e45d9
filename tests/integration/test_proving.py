"""Proving: a weak candidate fails with figures, a hostile one kills its child."""

from __future__ import annotations

import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import Final

import numpy as np
import pytest

from device_client.adapters.runtime.tflite import open_model
from device_client.adapters.sandbox.parent import CHILD, TrialProcess
from device_client.core.trial.proof_limits import ProofLimits, proof_limits
from device_client.ports.proof import NotTried, Proof, ProofOrder
from protocol.messages.contract import Contract
from protocol.messages.manifest import Requirements
from tests.builders import a_manifest, a_policy, a_variant, fit_readings
from tests.integration import models

PROJECT = Path(__file__).resolve().parents[2]
WAIT_S = 120.0  # for a busy machine; nothing here takes more than a few seconds
SAMPLES = 25


@pytest.fixture(scope="module")
def folder(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("models", models.make)


@pytest.fixture(scope="module")
def contract(folder: Path) -> Contract:
    return open_model(folder / "flowers-float32.tflite").contract


@pytest.fixture
def golden(folder: Path, tmp_path: Path) -> Path:
    """As a publisher makes it: inputs and the float32 outputs, for two variants."""
    inputs = np.random.default_rng(5).uniform(0, 1, (SAMPLES, 4)).astype(np.float32)
    (answers,) = open_model(folder / "flowers-float32.tflite").run([inputs])
    path = tmp_path / "golden.npz"
    np.savez_compressed(path, input_0=inputs, float32_output_0=answers, int8_output_0=answers)
    return path


@pytest.fixture
def order(folder: Path, golden: Path, contract: Contract) -> ProofOrder:
    return ProofOrder(
        model=folder / "flowers-float32.tflite",
        golden=golden,
        variant="float32",
        tolerance=0.02,
        contract=contract,
        memory_max_bytes=200_000_000,
        wall_max_s=WAIT_S,
    )


def changed(order: ProofOrder, **fields: object) -> ProofOrder:
    values = {name: getattr(order, name) for name in ProofOrder.__slots__} | fields
    return ProofOrder(**values)


def prove(order: ProofOrder, command: Sequence[str] = CHILD) -> Proof:
    proof = asked_to_prove(order, command)
    assert isinstance(proof, Proof), proof.reason
    return proof


def asked_to_prove(order: ProofOrder, command: Sequence[str]) -> Proof | NotTried:
    told: Queue[Proof | NotTried] = Queue()
    prover = TrialProcess(command)
    prover.start(order, told.put)
    proof = told.get(timeout=WAIT_S)
    with pytest.raises(Empty):  # exactly one
        told.get_nowait()
    return proof


def instead(program: str) -> list[str]:
    """Another child: a Python program that gets the job as its last argument."""
    return [sys.executable, "-c", program]


def test_a_good_candidate_passes_with_its_figures(order: ProofOrder) -> None:
    proof = prove(order)
    assert proof.passed, proof.reason
    assert proof.samples == SAMPLES
    assert proof.max_error == pytest.approx(0.0, abs=1e-6)
    assert proof.latency_ms_p50 is not None
    assert proof.latency_ms_p50 > 0
    assert proof.reason.startswith("25 golden samples within 0, allowed 0.02")


@pytest.mark.parametrize("file", ["flowers-int8", "flowers-int8-inside"])
def test_a_quantized_variant_passes_within_its_tolerance(order: ProofOrder, folder: Path, file: str) -> None:
    proof = prove(changed(order, model=folder / f"{file}.tflite", variant="int8", tolerance=0.05))
    assert proof.passed, proof.reason
    assert proof.max_error is not None
    assert 0 < proof.max_error <= 0.05


def test_other_weights_are_refused_with_the_place_and_the_figure(order: ProofOrder, folder: Path) -> None:
    proof = prove(changed(order, model=folder / "other-float32.tflite"))
    assert not proof.passed
    assert "of golden sample" in proof.reason
    assert "differs by 0." in proof.reason
    assert proof.reason.endswith("allowed 0.02")


def test_an_output_that_is_no_number_is_refused(order: ProofOrder, golden: Path) -> None:
    arrays = dict(np.load(golden))
    arrays["input_0"][7] = np.nan
    np.savez(golden, **arrays)
    proof = prove(order)
    assert (proof.passed, proof.reason) == (False, "output 0 of golden sample 7 is not a number")


def test_a_model_of_another_shape_is_refused_by_its_contract(order: ProofOrder, folder: Path) -> None:
    proof = prove(changed(order, model=folder / "digits-float32.tflite"))
    assert not proof.passed
    assert "input 0 of the file is float32 [1, 784]" in proof.reason


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(b"no archive"), "the golden set cannot be read"),
        (lambda path: np.savez(path, input_0=np.zeros((3, 4))), "the golden set lacks float32_output_0"),
        (lambda path: np.savez(path, input_0=np.zeros((3, 4)), float32_output_0=np.zeros((2, 3))), "unlike length"),
        (
            lambda path: np.savez_compressed(path, input_0=np.zeros((10_000_000,))),
            "unpacked; the limits are",
        ),
        (lambda path: np.savez(path, input_0=np.array([print], dtype=object), float32_output_0=[1]), "cannot be read"),
        (lambda path: path.unlink(), "the golden set cannot be read"),
    ],
    ids=["nonsense", "incomplete", "uneven", "bomb", "pickle", "gone"],
)
def test_a_golden_set_that_is_none_proves_nothing(
    order: ProofOrder, golden: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(golden)
    proof = prove(order)
    assert not proof.passed
    assert told in proof.reason


def hostile(content: bytes, kind: str) -> bytes:
    chance = random.Random(kind)
    match kind:
        case "empty":
            return b""
        case "half":
            return content[: len(content) // 2]
        case "cut short":
            return content[:-100]
        case "head only":
            return content[:16]
        case "noise":
            return content[:8] + chance.randbytes(len(content))
        case "zeros":
            return content[:8] + bytes(len(content))
        case "wild offsets":
            return b"".join(_wild(content[at : at + 4], at, chance) for at in range(0, len(content), 4))
        case "root far away":
            return b"\xf0\xff\xff\x7f" + content[4:]
        case _:
            return (1_000_000_000).to_bytes(4, "little") + content[4:]


def _wild(word: bytes, at: int, chance: random.Random) -> bytes:
    """Point every third offset of the flatbuffer somewhere outside."""
    is_offset = len(word) == 4 and 0 < int.from_bytes(word, "little") < 2_000
    return (0x7FFFFF00).to_bytes(4, "little") if at >= 8 and is_offset and chance.random() < 0.3 else word


KINDS = ["empty", "half", "cut short", "head only", "noise", "zeros", "wild offsets", "root far away", "root outside"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_file_is_refused_and_the_device_lives(order: ProofOrder, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "candidate"
    path.write_bytes(hostile(order.model.read_bytes(), kind))
    proof = prove(changed(order, model=path))
    assert not proof.passed
    assert any(
        told in proof.reason
        for told in (
            "the runtime could not open candidate: ",
            "candidate is no TensorFlow Lite file",
            "while opening the file",
            "used more than",
            "golden sample",
            "where earlier versions have",
            "its contract says",
        )
    ), proof.reason
    assert "Traceback" not in proof.reason


def test_a_file_that_wants_more_memory_than_allowed_is_refused(order: ProofOrder, tmp_path: Path) -> None:
    content = order.model.read_bytes()
    for batch in (1, -1):  # of the shape, and of its signature: a batch, four values
        shape = np.array([2, batch, 4], "<i4").tobytes()
        assert shape in content
        content = content.replace(shape, np.array([2, batch, 2**29], "<i4").tobytes())
    path = tmp_path / "greedy"
    path.write_bytes(content)
    tensor = order.contract.inputs[0].model_copy(update={"shape": (1, 2**29)})
    contract = order.contract.model_copy(update={"inputs": (tensor,)})
    reason = prove(changed(order, model=path, contract=contract)).reason
    assert reason == "used more than 200 MB" or "failed to prepare" in reason  # the runtimes differ in how they give up


def test_a_manifest_that_lies_small_ends_in_a_refusal_that_names_its_own_figure(order: ProofOrder) -> None:
    lying = a_variant("float32", requires=Requirements(memory_bytes=1_000_000))
    limits = proof_limits(a_policy(), a_manifest(variants=[lying]), lying, fit_readings())
    assert isinstance(limits, ProofLimits)
    greedy = "from device_client.adapters.sandbox import child\n" + EATS_60_MB + "child.main()\n"
    held = changed(order, memory_max_bytes=limits.memory_max_bytes, memory_by=limits.memory_by)
    proof = prove(held, instead(greedy))
    assert not proof.passed
    assert proof.out_of_memory
    assert proof.reason == "used more than 37 MB: its manifest says that it takes 1 MB"


def test_a_file_that_needs_hardware_which_is_not_set_is_not_held_against_it(order: ProofOrder, folder: Path) -> None:
    output = order.contract.outputs[0].model_copy(update={"shape": (1, 4)})
    contract = order.contract.model_copy(update={"outputs": (output,)})
    result = asked_to_prove(changed(order, model=folder / "edgetpu.tflite", contract=contract), CHILD)
    assert isinstance(result, NotTried)
    assert "Edge TPU" in result.reason


EATS_60_MB = """
opened = child.open_model
def open_model(path, delegates=(), contract=None):
    model = opened(path, delegates=delegates)
    model.held = bytearray(60_000_000)
    return model
child.open_model = open_model
"""


def test_a_small_model_needs_no_more_than_a_small_allowance(order: ProofOrder) -> None:
    proof = prove(changed(order, memory_max_bytes=5_000_000))
    assert proof.passed, proof.reason


def test_a_child_that_crashes_is_named_by_signal_and_place(order: ProofOrder) -> None:
    crash = (
        "import os, signal, sys\n"
        'print(\'{"doing": "opening the file"}\', flush=True)\n'
        "os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    proof = prove(order, instead(crash))
    assert proof == Proof(False, "the child was killed by signal 11 (segmentation fault) while opening the file")


MB: Final = 1_000_000


def test_what_a_trial_took_is_told_of_one_that_passed(order: ProofOrder) -> None:
    child = prove(order).child
    assert child is not None
    assert child.ended == "exit status 0"
    assert 0 < child.wall_s < WAIT_S
    assert child.memory_peak_bytes is not None
    assert 10 * MB < child.memory_peak_bytes < 1_000 * MB


def test_what_a_trial_took_is_told_of_one_that_was_killed(order: ProofOrder) -> None:
    """Memory that its parent never had is the child's own, even if not reported."""
    grown_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 64 * MB
    crash = f"import os, signal; eaten = b'x' * {grown_bytes}; os.kill(os.getpid(), signal.SIGSEGV)"
    child = prove(changed(order, memory_max_bytes=4 * grown_bytes), instead(crash)).child
    assert child is not None
    assert child.ended == "signal 11 (segmentation fault)"
    assert child.memory_peak_bytes is not None
    assert child.memory_peak_bytes >= grown_bytes


def test_a_child_that_takes_little_and_says_nothing_is_not_told_to_have_taken_what_we_have(order: ProofOrder) -> None:
    child = prove(order, instead("raise SystemExit(3)")).child
    assert child is not None
    assert (child.ended, child.memory_peak_bytes) == ("exit status 3", None)


def test_a_child_that_spins_is_stopped_at_the_wall_time(order: ProofOrder) -> None:
    proof = prove(changed(order, wall_max_s=1.5), instead("while True: pass"))
    assert proof == Proof(False, "took longer than 1.5 s")


def test_a_child_that_eats_memory_is_stopped_from_outside(order: ProofOrder) -> None:
    eater = "eaten = []\nwhile True: eaten.append(bytearray(16_000_000))"
    proof = prove(changed(order, memory_max_bytes=50_000_000), instead(eater))
    assert proof == Proof(False, "used more than 50 MB while starting", out_of_memory=True)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("pass", "the child ended without a report"),
        ("print('hello')", "the child ended without a report"),
        ("print('{\"passed\": true}')", "the child ended without a report"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 8)", "the child ended without a report"),
        ("while True: print('x' * 10_000)", "the child said more than 16,384 bytes"),
        ("import sys; sys.exit('no such thing')", "failed with exit status 1 while starting: no such thing"),
        ('print(\'{"passed": true, "reason": "fine"}\'); raise SystemExit(3)', "failed with exit status 3"),
    ],
)
def test_a_child_that_says_nonsense_is_not_believed(order: ProofOrder, program: str, told: str) -> None:
    proof = prove(order, instead(program))
    assert not proof.passed
    assert told in proof.reason


def test_a_child_that_floods_stderr_does_not_fill_our_memory(order: ProofOrder) -> None:
    flood = (
        "import sys\n"
        "for _ in range(2_000): sys.stderr.write('y' * 10_000)\n"
        'print(\'{"passed": true, "reason": "fine", "samples": 3}\')'
    )
    assert prove(order, instead(flood)) == Proof(True, "fine", 3)


def test_a_grandchild_that_keeps_the_pipe_does_not_keep_us(order: ProofOrder) -> None:
    program = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        'print(\'{"passed": true, "reason": "fine"}\', flush=True)'
    )
    assert prove(order, instead(program)) == Proof(True, "fine")


def test_a_child_has_limits_no_input_and_little_of_our_environment(
    order: ProofOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFERRY_BROKER", "mqtt://user:secret@host")
    program = (
        "import json, os, resource, sys, time\n"
        # the parent sets the limits a moment after the start; niceness comes last
        "until = time.monotonic() + 20\n"
        "while os.nice(0) != 10 and time.monotonic() < until: time.sleep(0.01)\n"
        "limits = [resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1] for name in ('CORE', 'FSIZE', 'CPU')]\n"
        "alone = os.getsid(0) == os.getpid()\n"
        "facts = [limits, os.nice(0), sys.stdin.read(), 'EDGEFERRY_BROKER' in os.environ, alone]\n"
        "print(json.dumps({'passed': True, 'reason': json.dumps(facts)}))"
    )
    proof = prove(changed(order, wall_max_s=60.0), instead(program))
    assert proof.reason == '[[0, 0, 61], 10, "", false, true]'


def test_a_program_that_is_not_there_tries_nothing(order: ProofOrder) -> None:
    told = asked_to_prove(order, ["/nowhere/python"])
    assert told == NotTried("[Errno 2] No such file or directory: '/nowhere/python'")


def test_a_trial_that_breaks_off_in_our_own_hands_is_told(order: ProofOrder) -> None:
    told = asked_to_prove(changed(order, wall_max_s=1e300), instead("pass"))
    assert isinstance(told, NotTried)
    assert told.reason.startswith("OverflowError: ")


FENCED: Final = """
import json, os, resource, time
until = time.monotonic() + 20
while os.nice(0) < 10 and time.monotonic() < until: time.sleep(0.01)  # its niceness comes last
names = ('AS', 'CPU', 'FSIZE')
limits = {name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in names}
print(json.dumps({'passed': True, 'reason': json.dumps(limits)}))
"""


def test_a_limit_that_the_owner_has_set_is_not_lifted_for_the_child(order: ProofOrder) -> None:
    """To lift a hard limit is a privilege; to try without it would end every trial."""
    owners_bytes = 900_000 * 1024
    command = [sys.executable, "-c", OWNER, order.contract.model_dump_json(), FENCED]
    limited = ["sh", "-c", 'ulimit -v 900000; exec "$@"', "sh", *command]
    proof = subprocess.run(limited, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=WAIT_S)
    limits = json.loads(proof.stdout)
    assert limits == {"AS": [owners_bytes, owners_bytes], "CPU": [60, 61], "FSIZE": [0, 0]}


SLEEPER = "import os, pathlib, sys, time\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\ntime.sleep(600)"


def a_sleeper(tmp_path: Path, name: str) -> tuple[list[str], Path]:
    """A child that writes its id to a pipe, then sleeps; it may write no files."""
    told = tmp_path / name
    os.mkfifo(told)
    return [sys.executable, "-c", SLEEPER, str(told)], told


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.01)  # a process's end is no event that we could wait for here


def test_stopping_ends_the_child_and_says_nothing(order: ProofOrder, tmp_path: Path) -> None:
    command, told = a_sleeper(tmp_path, "first")
    proofs: Queue[Proof | NotTried] = Queue()
    prover = TrialProcess(command)
    prover.start(order, proofs.put)
    pid = int(told.read_text())
    prover.stop()
    prover.stop()
    wait_until(lambda: gone(pid))
    with pytest.raises(Empty):
        proofs.get(timeout=0.2)


def test_starting_again_abandons_the_trial_before(order: ProofOrder, tmp_path: Path) -> None:
    command, told = a_sleeper(tmp_path, "first")
    proofs: Queue[Proof | NotTried] = Queue()
    prover = TrialProcess(command)
    prover.start(order, proofs.put)
    first = int(told.read_text())
    prover.start(order, proofs.put)
    second = int(told.read_text())
    wait_until(lambda: gone(first))
    assert not gone(second)
    os.kill(second, signal.SIGTERM)
    assert "signal 15" in proofs.get(timeout=WAIT_S).reason
    with pytest.raises(Empty):
        proofs.get(timeout=0.2)


def test_a_trial_may_be_started_from_the_answer_to_another(order: ProofOrder) -> None:
    proofs: Queue[Proof | NotTried] = Queue()
    prover = TrialProcess(instead('print(\'{"passed": true, "reason": "fine"}\')'))

    def again(proof: Proof | NotTried) -> None:
        proofs.put(proof)
        prover.start(order, proofs.put)

    prover.start(order, again)
    assert [proofs.get(timeout=WAIT_S).reason for _ in range(2)] == ["fine", "fine"]


OWNER = """
import sys
from pathlib import Path
from queue import Queue
from device_client.adapters.sandbox.parent import TrialProcess
from device_client.ports.proof import ProofOrder
from protocol.messages.contract import Contract
told = Queue()
contract = Contract.model_validate_json(sys.argv[1])
order = ProofOrder(Path("model"), Path("golden"), "float32", 0.02, contract, 2_000_000_000, 60.0)
TrialProcess([sys.executable, "-c", sys.argv[2]]).start(order, told.put)
print(told.get().reason)
"""


DEVICE = """
import json, sys, time
from pathlib import Path
from device_client.adapters.sandbox.parent import TrialProcess
from device_client.ports.proof import ProofOrder
from protocol.messages.contract import Contract
contract = Contract.model_validate_json(sys.argv[2])
order = ProofOrder(Path(sys.argv[1]), Path(sys.argv[3]), "float32", 0.02, contract, 200_000_000, 600.0)
TrialProcess().start(order, print)
time.sleep(600)
"""


def test_the_child_dies_with_the_device(contract: Contract, golden: Path, tmp_path: Path) -> None:
    """Our own child reads a named pipe as a candidate, and ends with the device."""
    stuck = tmp_path / "stuck"
    os.mkfifo(stuck)
    command = [sys.executable, "-c", DEVICE, str(stuck), contract.model_dump_json(), str(golden)]
    device = subprocess.Popen(command, cwd=PROJECT)
    with stuck.open("wb") as pipe:  # opens as soon as the child reads
        no_reader = select.poll()
        no_reader.register(pipe, select.POLLERR)
        assert no_reader.poll(200) == []  # it reads on, for we write nothing
        device.kill()
        device.wait()
        assert no_reader.poll(WAIT_S * 1000) != []
