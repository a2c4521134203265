#!/usr/bin/env bash
# Rebuilds the escrow program from source and compares it with the committed escrow.so, byte for byte.
# As root on Debian it installs the toolchain when it is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if ! command -v llc-22 >/dev/null || ! [ -x /usr/bin/rustc ] || ! ls -d /usr/src/rustc-*/library >/dev/null 2>&1; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The program's toolchain is missing: apt-get install rustc-web rust-web-src cargo-web llvm-22" >&2
    exit 1
  fi
  echo "installing the program's toolchain"
  apt-get update -qq && apt-get install -y -qq rustc-web rust-web-src cargo-web llvm-22 >/dev/null
fi
rebuilt=$(mktemp -d)
trap 'rm -rf "$rebuilt"' EXIT
"$here/build.sh" "$rebuilt/escrow.so"
if cmp "$rebuilt/escrow.so" "$here/escrow.so"; then
  echo "escrow.so is what its source builds"
else
  echo "escrow.so is not what its source builds with $(/usr/bin/rustc --version) and LLVM $(llc-22 --version | sed -n 's/.*version //p'):" >&2
  echo "run 'make contracts' and commit the result; after an update of the toolchain alone the new bytes are no less right" >&2
  exit 1
fi
