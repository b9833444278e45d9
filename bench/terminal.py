"""Draws README's picture of a terminal, docs/images/demo.svg: what `scripts/demo`
prints, without its lines of JSON.

`scripts/bench terminal` runs the demo, in about a minute; `scripts/bench terminal FILE`
takes its output from a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE: Final = Path(__file__).resolve().parent.parent / "docs/images/demo.svg"
COLUMNS: Final = 100


def demo() -> str:
    """Run the demo; return what it prints on standard output, with its colours."""
    command = [sys.executable, "-c", "from publisher.cli import main; main()", "demo"]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def without_json(printed: str) -> str:
    """Leave out the paragraphs that quote whole messages."""
    return "\n\n".join(part for part in printed.rstrip().split("\n\n") if "\n  {" not in part)


def draw(printed: str) -> str:
    """The picture of a terminal that shows this text."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(f"$ scripts/demo\n{without_json(printed)}"))
        return console.export_svg(title="EdgeFerry", theme=MONOKAI)


if __name__ == "__main__":
    PICTURE.write_text(draw(Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else demo()), encoding="utf-8")
    sys.stdout.write(f"{PICTURE}\n")
