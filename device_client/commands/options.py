"""Options that several commands take, and what the commands share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from device_client.settings.loader import DeviceSettings
from protocol.errors import BadInput

Config = Annotated[Path, typer.Option("--config", "-c", help="The settings file of this device.")]
Broker = Annotated[str | None, typer.Option(help="Another broker than the file's: mqtt://host:port.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ModelName = Annotated[str | None, typer.Option("--model", "-m", help="Which model; the first one if not said.")]
HERE: Final = Path("device.toml")


def models_of(settings: DeviceSettings, model: str | None) -> list[str]:
    """The named model, or all of them. Raises BadInput."""
    names = [section.name for section in settings.models]
    if model is not None and model not in names:
        raise BadInput(f"this device has no model {model!r}", hint=f"it has {', '.join(names)}")
    return names if model is None else [model]


def text_width() -> int:
    """Columns of text that fit the terminal; 80 where there is none."""
    return min(100, max(40, shutil.get_terminal_size().columns))
