#!/bin/sh
# Builds client.wasm.
set -eu
cd "$(dirname "$0")"
[ -d .venv ] || { python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1; }
.venv/bin/componentize-py -d wit -w client componentize client -o client.wasm
