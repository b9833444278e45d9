"""The `device-client` command. Reads arguments, says things; numpy and the runtime are loaded by what needs them."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sys
import threading
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from protocol.errors import BadInput, FerryError

app = typer.Typer(
    help="Keeps the models of this device up to date over MQTT, and answers for them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Config = Annotated[Path, typer.Option("--config", "-c", help="The settings file of this device.")]
Broker = Annotated[str | None, typer.Option(help="Another broker than the file's: mqtt://host:port.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ModelName = Annotated[str | None, typer.Option("--model", "-m", help="Which model; the first one if not said.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
HERE = Path("device.toml")


@app.command()
def run(
    config: Config = HERE,
    broker: Broker = None,
    replay: Annotated[Path | None, typer.Option(help="Ask the model about the rows of this .npz (x, and y).")] = None,
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="Inputs a second to replay.")] = 10.0,
    label_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the true labels to tell.")] = 0.2,
    model: ModelName = None,
    verbose: Verbose = False,
) -> None:
    """Run this device until it is stopped with Ctrl-C or SIGTERM."""
    from device_client import replay as replaying
    from device_client.service.device_service import DeviceService
    from device_client.settings.loader import load

    _log_to_stderr(verbose)
    settings = load(config, broker=broker)
    recording = replaying.Recording.read(replay) if replay else None
    name = _which(settings, model)
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    service = DeviceService(settings).start()
    count = replaying.ReplayCounts()
    try:
        serving = service.servings[name]
        while not stop.is_set() and service.alive:
            if recording is None or not serving.wait_ready(0.2):
                stop.wait(0.2)
                continue
            replaying.replay(serving, recording, rate_hz=rate, label_share=label_share, stop=stop, count=count)
        if not service.alive and not stop.is_set():
            raise FerryError("the updater has ended by itself", hint="the log above says why; please report it")
    finally:
        service.close()
    if recording is not None:
        typer.echo(json.dumps({"predictions": count.predictions, "failed": count.failed}))


@app.command()
def status(config: Config = HERE, model: ModelName = None, as_json: Json = False) -> None:
    """What this device runs, what it is about to do, and why. Needs no broker."""
    from device_client.diagnostics.inspection import summary
    from device_client.settings.loader import load

    settings = load(config)
    names = [_which(settings, model)] if model else [section.name for section in settings.models]
    facts = [summary(settings, name) for name in names]
    if as_json:
        typer.echo(json.dumps({"device": settings.device, "models": facts}, indent=2))
        return
    for fact in facts:
        _tell(settings.device, fact, settings.strategy.local_zone())


@app.command()
def why(
    model: Annotated[str | None, typer.Argument(help="Which model; all of them if not said.")] = None,
    config: Config = HERE,
    as_json: Json = False,
) -> None:
    """Why is this device not updating? What runs, what is asked, what stands in the way. Needs no broker.

    Exit code 10 when something keeps it from updating, 0 when it is up to date or on its way.
    """
    from device_client.adapters.sensors.device_sensors import DeviceSensors
    from device_client.diagnostics.explanation import STUCK, explain
    from device_client.diagnostics.explanation_text import lines
    from device_client.diagnostics.inspection import look
    from device_client.settings.loader import load

    settings = load(config)
    names = [_which(settings, model)] if model else [section.name for section in settings.models]
    zone = settings.strategy.local_zone()
    sensors = DeviceSensors(settings.state, settings.probe_file, sources=settings.probes, zone=zone)
    readings, now = sensors.read(), datetime.now(UTC)
    answers = [explain(look(settings, name, readings, now)) for name in names]
    if as_json:
        document = {"device": settings.device, "models": [answer.as_dict() for answer in answers]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        pages = ("\n".join(lines(settings.device, answer, now, zone, _width())) for answer in answers)
        typer.echo("\n\n".join(pages))
    raise typer.Exit(STUCK if any(answer.stuck for answer in answers) else 0)


@app.command()
def predict(
    data: Annotated[Path, typer.Argument(help="An .npz with inputs as x.")],
    config: Config = HERE,
    model: ModelName = None,
    row: Annotated[int, typer.Option(min=0, help="Which row of x.")] = 0,
    as_json: Json = False,
) -> None:
    """Ask the installed model about one row of a file. Needs no broker."""
    from device_client.diagnostics.inspection import answer
    from device_client.replay import Recording
    from device_client.settings.loader import load

    settings = load(config)
    recording = Recording.read(data)
    if row >= len(recording.x):
        raise BadInput(f"{data} has {len(recording.x)} rows; there is no row {row}")
    found = answer(settings, _which(settings, model), recording.x[row])
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    sure = f", {found['confidence']:.0%} sure" if found["confidence"] is not None else ""
    says = found["label"] or found["top"]
    typer.echo(f"{found['model']} {found['version']} ({found['variant']}) says {says}{sure}")


@app.command()
def doctor(config: Config = HERE, broker: Broker = None, as_json: Json = False) -> None:
    """Try everything that this device needs; say what to type where something is not well. Exit code 1 if it is bad."""
    from device_client.diagnostics.doctor import examine
    from device_client.settings.loader import load

    checks = []
    for check in examine(load(config, broker=broker)):
        checks.append(check)
        if not as_json:
            typer.echo(f"{check.level:4}  {check.name}: {check.found}")
            if check.level != "ok" and check.fix:
                typer.echo(f"      -> {check.fix}")
    well = all(check.level != "bad" for check in checks)
    if as_json:
        typer.echo(json.dumps({"well": well, "checks": [check.as_dict() for check in checks]}, indent=2))
    raise typer.Exit(0 if well else 1)


def main() -> NoReturn:
    """Run the command; what a user can cause ends in one line and the exit code of its kind."""
    try:
        app(standalone_mode=True)
    except FerryError as refused:
        typer.echo(f"error: {refused.message}", err=True)
        if refused.hint:
            typer.echo(f"hint: {refused.hint}", err=True)
        sys.exit(refused.exit_code)
    except BrokenPipeError:  # `device-client status | head`
        sys.exit(0)
    except OSError as failed:
        where = f": {failed.filename}" if failed.filename else ""
        typer.echo(f"error: {failed.strerror or failed}{where}", err=True)
        sys.exit(FerryError.exit_code)
    except Exception as bug:  # the last door: a person gets a sentence, and -v the traceback
        logging.getLogger(__name__).debug("where it happened", exc_info=True)
        typer.echo(f"error: {type(bug).__name__}: {bug}", err=True)
        typer.echo("hint: this is a fault of EdgeFerry; please report it", err=True)
        sys.exit(FerryError.exit_code)
    sys.exit(0)


def _which(settings: Any, model: str | None) -> str:
    names = [section.name for section in settings.models]
    if model is not None and model not in names:
        raise BadInput(f"this device has no model {model!r}", hint=f"it has {', '.join(names)}")
    return model or str(names[0])


def _tell(device: str, fact: dict[str, Any], zone: tzinfo) -> None:
    from device_client.diagnostics.explanation_text import in_words, labelled

    def row(label: str, told: str) -> None:
        typer.echo("\n".join(labelled(label, told, _width())))

    installed = f"{fact['installed_version']} ({fact['variant']})" if fact["installed_version"] else "nothing"
    typer.echo(f"{device} / {fact['model']}: {fact['state']}")
    row("installed", installed)
    row("wanted", fact["latest_version"] or "nothing: no plan names this device")
    if fact["previous_version"]:
        row("way back", fact["previous_version"])
    row("why", fact["reason"])
    if fact["next_check"]:
        row("next check", in_words(datetime.fromisoformat(fact["next_check"]), datetime.now(UTC), zone))
    for refusal in fact["refused"]:
        row("refused", f"{refusal['version']}: {refusal['reason']}")


def _width() -> int:
    """What fits the terminal; 80 where there is none."""
    return min(100, max(40, shutil.get_terminal_size().columns))


def _log_to_stderr(verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("device_client").setLevel(level)
