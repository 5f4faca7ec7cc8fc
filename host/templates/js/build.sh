#!/bin/sh
# Builds client.wasm.
set -eu
cd "$(dirname "$0")"
[ -d node_modules ] || npm install
npx componentize-qjs --sync --minify --wit wit --world client --js client.js --output client.wasm
