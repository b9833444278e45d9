"""Writes docs/SETTINGS.md from the classes of `device.toml` and the options of the
publisher.

`python -m tests.settings_page` rewrites it; tests/test_docs_settings.py fails when it
is out of date. Names, types, ranges and defaults are pydantic's, units are the endings
of the names, meanings the docstrings below the attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

from pydantic import TypeAdapter

from device_client.adapters.sensors.probe_settings import ProbeSettings
from device_client.core.policy import DownloadLimits, Thresholds, TrialLimits, UnknownOf
from device_client.settings.loader import DeviceSettings
from device_client.settings.sections import (
    DelegateSection,
    FeedbackSection,
    ModelSection,
    StrategySection,
    TlsSection,
)
from publisher.cli import make_group
from publisher.settings import DEFAULTS, KEYS, variable
from tests.generated import attribute_docstrings, table, wrapped, write

COMMAND: Final = "python -m tests.settings_page"
PAGE: Final = "docs/SETTINGS.md"
COLUMNS: Final = ("key", "type", "default", "unit", "means")
LIMIT_SHOWN_MAX: Final = 10_000_000  # larger upper limits, such as a year in seconds, only catch slips
SECTIONS: Final[dict[str, type]] = {
    "": DeviceSettings,
    "models": ModelSection,
    "delegates": DelegateSection,
    "strategy": StrategySection,
    "conditions": Thresholds,
    "probes": ProbeSettings,
    "download": DownloadLimits,
    "trial": TrialLimits,
    "feedback": FeedbackSection,
    "tls": TlsSection,
}
TITLES: Final = {"": "Top of the file", "models": "`[[models]]`", "delegates": "Each of `delegates`"}
UNITS: Final = {
    "_bytes_s": "bytes/s", "_per_s": "1/s", "_percent": "%", "_bytes": "bytes", "_mb": "MB", "_ms": "ms",
    "_hysteresis_dbm": "dB", "_dbm": "dBm", "_c": "°C", "_s": "s",
}  # fmt: skip
TYPES: Final = {"boolean": "`true` or `false`", "integer": "whole number", "number": "number", "object": "table"}

HEAD: Final = f"""\
# Settings

Every setting of the [publisher](#publisher) and of a [device](#device). This page is
made from the code by `{COMMAND}`; a test fails when it is out of
date.

## Publisher

A flag overrides the environment, which overrides the default. Flags may stand before or
after the command's name.

"""
DEVICE: Final = """
## Device

The settings of a device are in `device.toml`, written by `publisher enroll`. Paths are
relative to its folder. Sections stand before the first `[[models]]`. A key that is not
listed here is rejected, with its line and the nearest name. The environment overrides the
file: `EDGEFERRY_BROKER` stands for `broker`, `EDGEFERRY_FEEDBACK__EVERY_S` for `every_s`
of `[feedback]`.

Upper limits that only catch slips, such as a year in seconds, are not shown.
"""
NAMED: Final = ", ".join(f"`{field.name}`" for field in fields(UnknownOf))
BEFORE: Final = {
    "models": "One per model. Without any, the device runs one model named `digits`.\n",
    "delegates": "See [APPLICATIONS.md](APPLICATIONS.md#other-hardware).\n",
    "strategy": """\
How the strategies work: [CONDITIONS.md](CONDITIONS.md#strategies). A setting that belongs
to another `kind` is rejected.
""",
    "conditions": """\
Safety conditions (hold, throttling, voltage, battery, memory, disk) are checked during a
download too. The others are for comfort: waived when a plan is urgent, and for the first
version of an empty device. A hysteresis is the distance by which a reading must come back
behind its limit once it was beyond. Where readings come from:
[CONDITIONS.md](CONDITIONS.md#readings).
""",
    "probes": "Where readings come from besides the kernel; see [CONDITIONS.md](CONDITIONS.md#readings).\n",
    "trial": "What is tested, and how certain a verdict is: [TRIAL.md](TRIAL.md).\n",
    "feedback": "What is reported: [FEEDBACK.md](FEEDBACK.md).\n",
}
AFTER: Final = {
    "models": """
`cpu_budget_percent` and `inferences_per_s` go together: they amount to a latency budget.
`mqtt_inference`, `on_swap` and `delegates` are explained in
[APPLICATIONS.md](APPLICATIONS.md).
""",
    "conditions": f"\n`unknown_of` may name {NAMED}.\n",
    "trial": """
The limits of a proof follow from the manifest, with the settings as the ceiling. Memory:
32 MiB, twice the file, and three times what the manifest says that the model takes, but
never more than is free, less 8 MiB. Time: 30 s, 1 s per MB of the file, and fifty times
what the golden set took at the publisher (p95). If the manifest measured nothing, or the
model runs on `delegates`, the settings alone apply. A candidate that reaches a limit is
rejected with its origin: `used more than 37 MB: its manifest says that it takes 1 MB`. If
memory is short only at the moment, the update is deferred for ten minutes instead.
""",
}


def settings_page() -> str:
    """The whole of docs/SETTINGS.md."""
    sections = "".join(_section(name) for name in SECTIONS)
    return wrapped(f"{HEAD}{table(('flag', 'environment', 'default', 'means'), _publisher())}{DEVICE}{sections}")


def _publisher() -> Iterator[tuple[str, ...]]:
    options = {parameter.name: parameter for parameter in make_group().params}
    for key in KEYS:
        means, _, default = getattr(options[key], "help", "").partition(" (default: ")
        shown = f"`{DEFAULTS[key]}`" if key in DEFAULTS else default.rstrip(")") or "not set"
        yield f"`--{key}`", f"`{variable(key)}`", shown, _sentence(means)


def _section(name: str) -> str:
    title = TITLES.get(name, f"`[{name}]`")
    before = f"{BEFORE[name]}\n" if name in BEFORE else ""
    return f"\n### {title}\n\n{before}{table(COLUMNS, _rows(SECTIONS[name]))}{AFTER.get(name, '')}"


def _rows(section: type) -> Iterator[tuple[str, ...]]:
    schema = TypeAdapter(section).json_schema()
    means = attribute_docstrings(section)
    for key, field in schema["properties"].items():
        if section is not DeviceSettings or key not in SECTIONS:
            yield f"`{key}`", _type(field), _default(schema, key), _unit(key), means[key]


def _type(schema: dict[str, Any]) -> str:
    """What may stand there, from the JSON Schema of a field."""
    schema = next((kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"), schema)
    if "enum" in schema:
        return " or ".join(f'`"{choice}"`' for choice in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_items(schema['items'])}"
    if schema.get("type") in TYPES:
        return TYPES[schema["type"]] + _range(schema)
    return {"path": "path", "password": "text"}.get(schema.get("format", ""), "table" if "$ref" in schema else "text")


def _items(schema: dict[str, Any]) -> str:
    return {"#/$defs/TimeWindow": "local times", "#/$defs/DelegateSection": "tables"}.get(
        schema.get("$ref", ""), "texts"
    )


def _range(schema: dict[str, Any]) -> str:
    least, over, most = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    most = None if most is not None and most > LIMIT_SHOWN_MAX else most
    low = f"over {over:,g}" if over is not None else f"{least:,g}" if least is not None else ""
    if low and most is not None:
        return f", {low} to {most:,g}"
    return f", at least {low}" if low and over is None else f", {low}" if low else ""


def _default(schema: dict[str, Any], key: str) -> str:
    if key in schema.get("required", ()):
        return "must be given"
    value = schema["properties"][key].get("default", {})
    if value is None:
        return "not set"
    if isinstance(value, dict):
        value = {}  # what each key of the table is by default is shown in its own section
    if isinstance(value, float):
        return f"`{int(value) if value == int(value) else value}`"
    return f"`{json.dumps(value)}`"


def _unit(key: str) -> str:
    return next((unit for ending, unit in UNITS.items() if key.endswith(ending)), "")


def _sentence(text: str) -> str:
    return text if "://" in text else f"{text[0].upper()}{text[1:]}"


if __name__ == "__main__":
    write({PAGE: settings_page()})
