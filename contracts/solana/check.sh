#!/usr/bin/env bash
# Rebuilds the escrow program from source and compares it with the committed escrow.so, byte for byte; where the compilers are not those
# it was built with, only that it was built from this source.
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
if ! diff <(head -1 "$here/escrow.so.built_from") <(head -1 "$rebuilt/escrow.so.built_from") >/dev/null; then
  echo "the program's source has changed since escrow.so was built: run 'make contracts' and commit the result" >&2
  exit 1
elif [ "$(tail -1 "$here/escrow.so.built_from")" != "program $(sha256sum < "$here/escrow.so" | cut -d' ' -f1)" ]; then
  echo "escrow.so is not the program that escrow.so.built_from names: run 'make contracts' and commit the result" >&2
  exit 1
elif cmp "$rebuilt/escrow.so" "$here/escrow.so"; then
  echo "escrow.so is what its source builds"
elif diff <(sed '$d' "$rebuilt/escrow.so.built_from") <(sed '$d' "$here/escrow.so.built_from") >/dev/null; then
  echo "escrow.so is not what its source builds: run 'make contracts' and commit the result" >&2
  exit 1
else
  echo "escrow.so was built from this source by other compilers than this machine has, so bytes differ and prove nothing; it was built with"
  sed '1d;$d' "$here/escrow.so.built_from"
  echo "and here there are"
  sed '1d;$d' "$rebuilt/escrow.so.built_from"
fi
