#!/bin/sh
# Inference over MQTT without Python: sends a request to a model and prints the response.
# Usage: ask.sh DEVICE MODEL FILE, a file with one line such as {"x": [0.1, 0.2]}.
# The broker is set by BROKER_HOST and BROKER_PORT.
# The device needs mqtt_inference = true in [[models]]. See docs/APPLICATIONS.md.
set -eu
topics=fleet/v1/devices/$1/$2
exec mosquitto_rr -h "${BROKER_HOST:-127.0.0.1}" -p "${BROKER_PORT:-1883}" -W 10 \
    -t "$topics/input" -e "$topics/output/ask-$$" -m "$(cat "$3")"
