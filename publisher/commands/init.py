"""init: makes a registry."""

from __future__ import annotations

from rich.text import Text

from publisher.commands.common_options import CommandContext
from publisher.operations import init as operation
from publisher.operations.context import utc_now
from publisher.settings import TOPIC_ROOT


def init(ctx: CommandContext) -> None:
    """Make a registry: its folder, its keys, its root of trust."""
    made = operation.init(ctx.settings.registry, topic_root=ctx.settings.root or TOPIC_ROOT, now=utc_now())
    facts = {
        "registry": str(made.folder),
        "keys": [str(path) for path in made.keys],
        "topic_root": made.topic_root,
        "root_expires": made.root_expires.isoformat(),
    }
    text = (
        f"made the registry {made.folder}\n"
        f"keys: {', '.join(path.name for path in made.keys)} in {made.folder / 'keys'}\n"
        "Back the folder up now, the keys above all: anyone who has them controls\n"
        "your fleet, and without them it cannot be updated. root.pem is needed only to\n"
        "replace keys: best kept away from this machine.\n"
        "next: publisher enroll DEVICE --out FOLDER\n"
        "      publisher release digits --version 1.0.0"
    )
    ctx.show(facts, lambda: Text(text))
