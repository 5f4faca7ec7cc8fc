#!/bin/sh
# Builds client.wasm.
set -eu
cd "$(dirname "$0")"
mkdir -p build
# The bindings reach into Go's runtime, which its linker permits with this flag.
GOOS=wasip1 GOARCH=wasm go build -mod=mod -buildmode=c-shared -ldflags '-s -w -checklinkname=0' -o build/core.wasm .
"${ONEFLIGHT:-oneflight}" componentize build/core.wasm --wit wit --world client --output client.wasm
