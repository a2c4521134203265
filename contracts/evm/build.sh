#!/usr/bin/env bash
# Builds the EVM contracts into the folder named as first argument (default: the committed build/): one file of ABI and bytecode for each.
# Needs node and npm (Debian: nodejs, npm). The compiler and OpenZeppelin's sources come from npm at the hashes in package-lock.json, and
# stay in .node/ for the next time. The bytes depend on neither the machine nor where the checkout lies.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here/build}")
# In a hidden folder: whoever walks the repository's files need not know of thousands of others.
modules="$here/.node"
if ! cmp -s "$here/package-lock.json" "$modules/installed.json"; then
  mkdir -p "$modules"
  cp "$here/package.json" "$here/package-lock.json" "$modules/"
  # The node for the tests (anvil) is there for one platform; elsewhere contracts are built without it.
  [ "$(uname -sm)" = "Linux x86_64" ] && omit= || omit=--omit=dev
  npm ci ${omit:+"$omit"} --prefix "$modules" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
  cp "$here/package-lock.json" "$modules/installed.json"
fi
node "$here/compile.js" "$modules" "$here" "$out"
