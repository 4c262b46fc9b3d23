#!/usr/bin/env bash
# Brings what the mongosh tests need into node_modules/; without Node they are skipped.
set -u
cd "$(dirname "$0")/.."
if ! command -v npm >/dev/null 2>&1; then
  echo "Node is not installed: the mongosh tests will be skipped."
  exit 0
fi
[ -x node_modules/.bin/mongosh ] && [ -d node_modules/world-countries ] && exit 0
npm install --no-audit --no-fund --silent --no-save --prefix . mongosh@2.12.0 world-countries@5.1.0 \
  || echo "npm could not install mongosh: the mongosh tests will be skipped."
exit 0
