#!/bin/sh
# Builds client.wasm.
set -eu
cd "$(dirname "$0")"
mkdir -p build
${CC:-clang} --target=wasm32-wasi -O2 -Wall -mexec-model=reactor -o build/core.wasm \
  client.c upstream.c json.c bindings/client.c bindings/client_component_type.o
"${ONEFLIGHT:-oneflight}" componentize build/core.wasm --output client.wasm
