"""`python -m publisher.embedded_broker --port N`: the broker as a process."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from protocol.errors import FerryError
from publisher.embedded_broker import EmbeddedBroker, FaultInjection


def main() -> int:
    """Run a broker and print its URL on stdout. Returns the exit code."""
    options = _options()
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        faults = FaultInjection.parse(options.misbehave) if options.misbehave else None
        broker = EmbeddedBroker(options.port, host=options.host, faults=faults, any_host=options.let_others_in)
        broker.start()
    except FerryError as refused:
        sys.stderr.write(f"{refused}\n")
        return refused.exit_code
    sys.stdout.write(f"{broker.url}\n")
    sys.stdout.flush()
    done.wait()
    broker.stop()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m publisher.embedded_broker",
        description="A small MQTT broker for development. It keeps everything in memory.",
    )
    parser.add_argument("--port", type=int, default=1883, help="0 takes a free one (default: 1883)")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: 127.0.0.1)")
    parser.add_argument("--let-others-in", action="store_true", help="allow a host that other machines reach")
    parser.add_argument("--misbehave", metavar="ODDS", help="such as drop=0.1,cut=0.01,seed=7")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
