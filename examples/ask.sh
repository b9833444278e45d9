#!/bin/sh
# A program that is not in Python asks a model over MQTT, and prints the answer.
# Usage: ask.sh DEVICE MODEL FILE, the file with one line such as {"x": [0.1, 0.2]}. The broker: BROKER_HOST, BROKER_PORT.
# The device's section [[models]] says mqtt_inference = true. See docs/APPLICATIONS.md.
set -eu
topics=fleet/v1/devices/$1/$2
exec mosquitto_rr -h "${BROKER_HOST:-127.0.0.1}" -p "${BROKER_PORT:-1883}" -W 10 \
    -t "$topics/input" -e "$topics/output/ask-$$" -m "$(cat "$3")"
