"""A model in memory: runs rows, fills batches, resizes inputs, resets its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from device_client.adapters.runtime.refusals import first_line
from device_client.adapters.runtime.tensor_binding import Array, Details, bind, derive_contract
from protocol.errors import BadModel
from protocol.messages.contract import FREE, Contract
from protocol.tensor_values import STRING, array_type

# operations whose tensors keep values from one run to the next
_FUSED_STATE: Final = frozenset(
    f"{kind}{name}" for kind in ("", "UNIDIRECTIONAL_SEQUENCE_", "BIDIRECTIONAL_SEQUENCE_") for name in ("LSTM", "RNN")
) | {"SVDF"}
_RESOURCES: Final = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})
_BRANCHES: Final = frozenset({"WHILE", "IF", "CALL"})  # graphs whose operations the runtime does not list


class OpenModel:
    """For one thread at a time."""

    contract: Contract
    _interpreter: Any
    _runner: Any  # of a signature that is not the file's first
    _resettable: bool
    _used: bool  # since the initial state

    def __init__(self, make: Callable[[], Any], contract: Contract | None = None) -> None:
        """`make` opens an interpreter; called again where only that resets the state.

        Without a contract it is the file's own. Raises BadModel if the file breaks it,
        or what the runtime raises.
        """
        self._make = make
        self._start(make(), contract)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run rows (n, …) in the contract's order and types. Raises BadModel.

        A model with state answers each row from its initial state. Outputs of several
        rows whose sizes differ are an array of arrays.
        """
        if self._single and len(inputs[0]) == 1:
            return self._once(inputs)
        return self._each(inputs, self._from_initial_state if self.contract.stateful else self._once)

    def step(self, inputs: Sequence[Array]) -> list[Array]:
        """Run rows in order, each from the state that the one before left."""
        return self._each(inputs, self._once)

    def reset(self) -> None:
        """Return to the initial state. Raises BadModel."""
        if not self._used:
            return
        try:
            if self._resettable:
                self._interpreter.reset_all_variables()
            else:  # the runtime resets no resources, nor runs what initializes them again
                self._start(self._make(), self.contract)
        except (RuntimeError, ValueError) as failure:
            raise BadModel(f"the runtime could not reset the model: {first_line(failure)}") from None
        self._used = False

    def warm_up(self) -> None:
        """Run once on zeros, as the first run prepares kernels. Raises BadModel."""
        rows = []
        for binding in self._inputs:
            shape = binding.smallest() if binding.batched else (1, *binding.smallest())
            zero = b"" if binding.tensor.dtype == STRING else 0
            rows.append(np.full((1, *shape[1:]), zero, array_type(binding.tensor.dtype)))
        self.run(rows)

    def _start(self, interpreter: Any, contract: Contract | None) -> None:
        self._interpreter, self._used = interpreter, False
        self._runner = interpreter.get_signature_runner(contract.signature) if contract and contract.signature else None
        operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
        self._resettable = self._runner is None and not operations & (_RESOURCES | _BRANCHES)
        inputs, outputs = self._details()
        stored = derive_contract(inputs, outputs, stateful=bool(operations & (_FUSED_STATE | _RESOURCES)))
        self.contract = contract or stored
        if contract:  # inputs first: what the outputs are shows when their sizes are set
            contract.check_file(stored.model_copy(update={"outputs": contract.outputs}))
        self._batch = self.contract.batch
        self._inputs = bind(self.contract, self.contract.inputs, inputs)
        self._free = any(FREE in binding.tensor.shape for binding in self._inputs)
        self._shapes = [tuple(int(size) for size in facts["shape"]) for facts in inputs]
        if contract or not self._free:  # without bounds a size may end the process
            self._allocate([binding.smallest() for binding in self._inputs])
        outputs = self._details()[1]
        if contract:
            contract.check_file(derive_contract(inputs, outputs))
        self._outputs = bind(self.contract, self.contract.outputs, outputs)
        self._single = self._batch == 1 and not self.contract.stateful
        one = len(self._inputs) == len(self._outputs) == 1 and self._inputs[0].batched
        converted = any(binding.scale for binding in (*self._inputs, *self._outputs))
        self._direct = one and not converted and not self._runner and not self._free

    def _details(self) -> tuple[list[Details], list[Details]]:
        """Inputs and outputs in the contract's order; sizes of outputs as allocated."""
        if self._runner:
            return _sorted(self._runner.get_input_details()), _sorted(self._runner.get_output_details())
        return self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def _each(self, inputs: Sequence[Array], run: Callable[[Sequence[Array]], list[Array]]) -> list[Array]:
        count = len(inputs[0])
        if self._batch > 1:
            return self._filled(inputs, run)
        if count == 1:
            return run(inputs)
        outputs = [run([each[at : at + 1] for each in inputs]) for at in range(count)]
        return [
            np.concatenate(column) if binding.batched else _stacked(column)
            for binding, column in zip(self._outputs, zip(*outputs, strict=True), strict=True)
        ]

    def _filled(self, inputs: Sequence[Array], run: Callable[[Sequence[Array]], list[Array]]) -> list[Array]:
        """Run rows in fixed batches; copies of the last row fill the last batch."""
        count, batch = len(inputs[0]), self._batch
        rows = np.minimum(np.arange(-(-count // batch) * batch), count - 1)
        parts = [run([each[rows[at : at + batch]] for each in inputs]) for at in range(0, len(rows), batch)]
        return [np.concatenate(column)[:count] for column in zip(*parts, strict=True)]

    def _from_initial_state(self, inputs: Sequence[Array]) -> list[Array]:
        self.reset()
        return self._once(inputs)

    def _once(self, inputs: Sequence[Array]) -> list[Array]:
        self._used = True
        try:
            if self._direct and inputs[0].dtype is self._inputs[0].dtype:  # the usual case, in half the time
                interpreter = self._interpreter
                interpreter.set_tensor(self._inputs[0].index, inputs[0])
                interpreter.invoke()
                return [interpreter.get_tensor(self._outputs[0].index)]
            values = [binding.to_file(given) for binding, given in zip(self._inputs, inputs, strict=True)]
            if self._runner:
                return self._run_signature(values)
            if self._free and (shapes := [value.shape for value in values]) != self._shapes:
                self._allocate(shapes)
            interpreter = self._interpreter
            for binding, value in zip(self._inputs, values, strict=True):
                interpreter.set_tensor(binding.index, value)
            interpreter.invoke()
            return [binding.to_shown(interpreter.get_tensor(binding.index)) for binding in self._outputs]
        except (RuntimeError, ValueError) as failure:
            raise BadModel(f"the runtime could not run the model: {first_line(failure)}") from None

    def _run_signature(self, values: Sequence[Array]) -> list[Array]:
        named = {binding.name: value for binding, value in zip(self._inputs, values, strict=True)}
        outputs = self._runner(**named)
        return [binding.to_shown(outputs[binding.name]) for binding in self._outputs]

    def _allocate(self, shapes: list[tuple[int, ...]]) -> None:
        """Give the inputs these sizes. A signature's runner does it at each run."""
        if self._runner:
            return
        for binding, shape, before in zip(self._inputs, shapes, self._shapes, strict=True):
            if shape != before:
                self._interpreter.resize_tensor_input(binding.index, shape, strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = shapes


def _sorted(details: dict[str, Details]) -> list[Details]:
    """Of a signature, in the order of its names, which replace those of the file."""
    return [{**facts, "name": name} for name, facts in sorted(details.items())]


def _stacked(rows: Sequence[Array]) -> Array:
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    ragged = np.empty(len(rows), object)
    ragged[:] = rows
    return ragged
