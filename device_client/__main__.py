"""`python -m device_client`: the same as `device-client`."""

from __future__ import annotations

from device_client.cli import main

main()
