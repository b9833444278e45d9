"""Makes the folder that `train` and `compress` write to."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import BadInput


def make_output_folder(folder: Path) -> None:
    """Make the folder of `--out` if it does not exist. Raises BadInput."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise BadInput(f"nothing can be written to {folder}: {refused.strerror}", hint="choose another --out") from None
