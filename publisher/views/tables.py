"""Results for a person: tables of 80 columns, and the sentences around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from protocol.messages.contract import Contract, Tensor, described
from protocol.messages.manifest import Golden, Manifest
from protocol.messages.plan import Plan
from protocol.preprocessing.raw_contract import steps_text
from protocol.preprocessing.raw_input import describe
from protocol.sizes import size_text
from protocol.tasks.selection import task_of
from publisher.core.fleet.fleet_table import Row, summary
from publisher.core.release.reproducibility import TrainingRecord

TRAININGS_SHOWN: Final = 10
LABELS_SHOWN: Final = 20
_STYLES = {
    "committed": "green", "rejected": "red", "rolled_back": "red", "stalled": "red", "deferred": "yellow",
    "fetching": "cyan", "proving": "cyan", "shadowing": "cyan", "probation": "cyan",
}  # fmt: skip


def fleet_table(rows: Iterable[Row]) -> RenderableType:
    listed = list(rows)
    if not listed:
        return Text("no device has said anything yet, and none is enrolled")
    models = {row.model for row in listed}
    table = _table("device", *(["model"] if len(models) > 1 else []), "state", "has", "wants", "seen", "why")
    table.columns[-1].overflow, table.columns[-1].no_wrap, table.columns[-1].ratio = "ellipsis", True, 1
    table.expand = True
    for row in listed:
        model = [Text(row.model)] if len(models) > 1 else []
        wants = row.latest if row.latest != row.installed else None
        table.add_row(
            Text(row.device), *model, _state(row), row.installed or "-", wants or "-", _seen(row), Text(row.reason)
        )
    return Group(table, Text(_summary_text(listed)))


def variant_table(manifest: Manifest) -> RenderableType:
    measure = task_of(manifest.contract).measure
    table = _table("variant", "size", "on the wire", measure, "agrees", "latency")
    for column in table.columns[1:]:
        column.justify = "right"
    for variant in manifest.variants:
        wire = min(encoding.tree.size_bytes for encoding in variant.encodings)
        measured = variant.measured
        latency = "-" if measured.latency_ms_p50 is None else f"{measured.latency_ms_p50:.2f} ms"
        table.add_row(
            variant.name, size_text(variant.size_bytes), size_text(wire), _share(measured.accuracy),
            _share(measured.agreement), latency,
        )  # fmt: skip
    return table


def version_table(manifests: Iterable[Manifest], plan: Plan) -> RenderableType:
    """The versions of a model, newest first."""
    table = _table("version", "created", "accuracy", "goes to", "notes")
    for manifest in reversed(list(manifests)):
        audience = [rule.describe() for rule in plan.rules if rule.version == manifest.version]
        accuracy = next((variant.measured.accuracy for variant in manifest.variants), None)
        table.add_row(
            manifest.version, f"{manifest.created:%Y-%m-%d %H:%M}", _share(accuracy), "; ".join(audience) or "-",
            Text(manifest.notes),
        )  # fmt: skip
    return table


def training_table(records: Sequence[TrainingRecord], released_as: Mapping[int, str]) -> RenderableType:
    """The last trainings of a model, newest first."""
    table = _table("training", "at", "recipe", "epochs", "seed", "accuracy", "released as")
    for record in reversed(records[-TRAININGS_SHOWN:]):
        settings = record.lineage.get("settings", {})
        table.add_row(
            str(record.number), f"{record.at:%Y-%m-%d %H:%M}", Text(str(record.lineage.get("recipe", "-"))),
            str(settings.get("epochs", "-")), str(settings.get("seed", "-")), _share(record.accuracy),
            released_as.get(record.number, "-"),
        )  # fmt: skip
    return table


def manifest_view(shown: Manifest, labels: Sequence[str], audience: Iterable[str]) -> RenderableType:
    lines = [f"{shown.model} {shown.version}, made {shown.created:%Y-%m-%d %H:%M} UTC"]
    lines += [f"goes to: {'; '.join(audience) or 'no device'}"]
    lines += [f"notes: {shown.notes}"] if shown.notes else []
    lines += [f"forced past: {shown.forced}"] if shown.forced else []
    more = f" … ({len(labels):,} in all)" if len(labels) > LABELS_SHOWN else ""
    lines += [f"labels: {', '.join(labels[:LABELS_SHOWN])}{more}"] if labels else []
    lines += [f"file: {file.name}, {size_text(file.size_bytes)}" for file in shown.files]
    return Group(
        *(Text(line) for line in (*lines, *task_lines(shown.contract), *contract_lines(shown))), variant_table(shown)
    )


def contract_lines(shown: Manifest) -> list[str]:
    """What the model takes and gives, whether it keeps state, and its golden set."""
    contract = shown.contract
    lines = [f"signature: {contract.signature}"] if contract.signature else []
    for side, tensors in (("input", contract.inputs), ("output", contract.outputs)):
        lines += [f"{side} {index}: {_tensor_text(tensor)}" for index, tensor in enumerate(tensors)]
    lines += ["state: an answer depends on the inputs before it"] if contract.stateful else []
    return [*lines, *preprocessing_lines(shown), _golden_text(shown.golden)]


def _tensor_text(tensor: Tensor) -> str:
    steps = f", real = {tensor.scale:.6g} * (stored - {tensor.zero_point})" if tensor.scale else ""
    return f"{tensor.name}: {described(tensor)}{steps}" + (f", {tensor.role}" if tensor.role else "")


def preprocessing_lines(shown: Manifest) -> list[str]:
    """What an application gives for each input, and what a device does with it."""
    declared = shown.known_preprocessing
    if declared is None:
        return []
    return [
        f"input {index}: an application gives {describe(each.raw)}; the device does {steps_text(each.steps)}"
        for index, each in enumerate(declared.inputs)
        if each.raw is not None
    ]


def _golden_text(golden: Golden) -> str:
    of = f"sequences of {golden.steps}" if golden.steps > 1 else "samples"
    noise = golden.noise_samples
    random = "" if not noise else ", of random noise" if noise == golden.samples else f", {noise} of random noise"
    return f"golden set: {golden.samples} {of}{random}"


def task_lines(contract: Contract) -> list[str]:
    """What the model is for, and how it is measured; nothing for old versions."""
    if contract.task is None:
        return []
    reason = f" ({contract.task.reason})" if contract.task.reason else ""
    return [f"task: {contract.task.title}{reason}; measured by {task_of(contract).measure}"]


def plan_view(current: Plan) -> RenderableType:
    """Which device should run what, in matching order, and the plan's history."""
    state = "held; " if current.hold else ""
    head = Text(f"{current.model}: plan {current.sequence}, {state}{current.urgency}")
    rules = _table("who", "runs")
    for rule in current.rules:
        rules.add_row(Text(rule.describe()), rule.version)
    history = _table("plan", "when", "what")
    for stage in current.history[-10:]:
        history.add_row(str(stage.sequence), f"{stage.at:%Y-%m-%d %H:%M}", Text(stage.what))
    return Group(head, rules, history)


def age(age_s: float) -> str:
    """A time span, as "3 min"."""
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if age_s >= unit_s:
            return f"{age_s // unit_s:.0f} {unit}"
    return f"{age_s:.0f} s"


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def _state(row: Row) -> Text:
    percentage = f" {row.update_percentage:.0f} %" if row.update_percentage is not None else ""
    return Text(row.state.replace("_", " ") + percentage, style=_STYLES.get(row.state, ""))


def _seen(row: Row) -> Text:
    when = "never" if row.age_s is None else age(row.age_s)
    if row.online is False:
        return Text(f"offline, {when}" if row.age_s is not None else "offline", style="yellow")
    return Text(when)


def _summary_text(rows: list[Row]) -> str:
    totals = summary(rows)
    installed = ", ".join(f"{count} on {version}" for version, count in totals.installed.items())
    devices = f"{totals.devices} device{'s' if totals.devices != 1 else ''}, {totals.online} online"
    return f"{devices}; {installed}" if installed else devices


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
