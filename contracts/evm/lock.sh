#!/usr/bin/env bash
# Writes package-lock.json anew from package.json: hashes, but no registry addresses.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$work/"
npm install --prefix "$work" --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel=error
node -e '
  const fs = require("fs");
  const lock = JSON.parse(fs.readFileSync(process.argv[1]));
  for (const entry of Object.values(lock.packages)) { delete entry.funding; delete entry.resolved; }
  for (const [name, entry] of Object.entries(lock.packages)) if (name && !entry.integrity) throw new Error(`${name} has no hash`);
  fs.writeFileSync(process.argv[2], JSON.stringify(lock, null, 2) + "\n");
' "$work/package-lock.json" "$here/package-lock.json"
