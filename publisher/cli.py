"""The `publisher` command: which commands there are. What each does begins in `publisher.commands`."""

from __future__ import annotations

import typer

from publisher.commands import compress as compressing
from publisher.commands import demo as showing
from publisher.commands import fleet as watching
from publisher.commands import release as making
from publisher.commands import rollout as steering
from publisher.commands import serve as upkeep
from publisher.commands.common_options import options_on

_TEXT = (
    "Release machine-learning models to a fleet of small devices, over plain MQTT.\n\n"
    "The common options also come from the environment: EDGEFERRY_BROKER, EDGEFERRY_REGISTRY and so on.\n\n"
    "Exit codes: 1 trouble, 2 bad input, 3 untrusted, 4 damaged, 5 broker, 6 not good enough, 7 busy, 8 no room, "
    "9 something is missing, 130 stopped."
)


def make_app() -> typer.Typer:
    """Put the commands together."""
    app = typer.Typer(
        name="publisher",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    rollout = typer.Typer(no_args_is_help=True)
    options_on(app, _TEXT)
    options_on(rollout, "See and steer how a version spreads.")
    making.register(app)
    compressing.register(app)
    watching.register(app)
    steering.register(app, rollout)
    upkeep.register(app)
    showing.register(app)
    app.add_typer(rollout, name="rollout")
    return app


def main() -> None:
    """The entry point."""
    make_app()(prog_name="publisher")
