"""The `publisher` command line: the table of its commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typer.core import TyperGroup

from protocol.host.command_line import LazyCommand, command_group
from publisher.commands.common_options import PublisherCommand, common_options, plain_errors

HELP: Final = (
    "Release machine-learning models to a fleet of small devices, over plain MQTT.\n\n"
    "The common options also come from the environment: EDGEFERRY_BROKER, EDGEFERRY_REGISTRY and so on.\n\n"
    "Exit codes: 1 trouble, 2 bad input, 3 untrusted, 4 damaged, 5 broker, 6 not good enough, 7 busy, 8 no room, "
    "9 something is missing, 130 stopped."
)
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "init": ("init:init", "Make a registry: its folder, its keys, its root of trust."),
    "train": ("train:train", "Train a recipe and keep its variants and their numbers in a folder. Releases nothing."),
    "release": ("release:Release", "Make a version, sign it, upload it, and offer it to the fleet."),
    "compress": (
        "compress:Compress",
        "Train a recipe or take a Keras file, compress it in every way, and measure what each costs. Releases nothing.",
    ),
    "enroll": ("fleet:enroll", "Write the folder that a device needs to belong to this fleet."),
    "status": ("fleet:status", "Show every device: what it runs, what it should run, and why it does not."),
    "show": (
        "fleet:show",
        "Show a model's versions and trainings, or one version with its variants and where it came from.",
    ),
    "rollback": ("rollout:rollback", "Recall the newest version: the whole fleet goes back, urgently."),
    "pin": ("rollout:pin", "Have some devices run a version, whatever the rest of the fleet does."),
    "unpin": ("rollout:unpin", "Have pinned devices follow the fleet again."),
    "serve": (
        "serve:serve",
        "Stay, and keep the broker whole: put back what it lost, answer devices, renew signatures.",
    ),
    "prune": ("serve:prune", "Clear the broker of chunks, and the registry of files, that no plan or version needs."),
    "demo": (
        "demo:demo",
        "Show it all on this machine: three devices, a good release, a better one, and a bad one refused.",
    ),
}
ROLLOUT_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "show": ("rollout:show", "Show a model's plan: who runs what, and how it came to that. Asks no broker."),
    "hold": ("rollout:hold", "Stop a rollout: devices that have not swapped yet wait."),
    "resume": ("rollout:resume", "Let a held rollout go on."),
    "advance": ("rollout:advance", "Offer the newest version to more devices."),
}


class LazyPublisherCommand(LazyCommand):
    """A command with the common options; failing to import it is a plain error."""

    def __init__(self, name: str, target: str, text: str) -> None:
        super().__init__(name, f"publisher.commands.{target}", text, cls=PublisherCommand, help=text)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with plain_errors(verbose="-v" in args or "--verbose" in args):
            command = self.command
        return command.make_context(info_name, args, parent, **extra)


def make_group() -> TyperGroup:
    """The command line, with no command imported."""
    group = _group("publisher", HELP, COMMANDS)
    group.add_command(_group("rollout", "See and steer how a version spreads.", ROLLOUT_COMMANDS))
    return group


def main() -> None:
    make_group()(prog_name="publisher")


def _group(name: str, text: str, table: Mapping[str, tuple[str, str]]) -> TyperGroup:
    commands = (LazyPublisherCommand(command, *entry) for command, entry in table.items())
    flags, completion = ["--help", "-h"], name == "publisher"
    return command_group(text, common_options, commands, help_flags=flags, name=name, add_completion=completion)
