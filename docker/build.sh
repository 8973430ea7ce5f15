#!/bin/sh
# Builds dist/ inside the image, unless the build context brought one that is newer than all sources.
set -eu
cd "$(dirname "$0")/.."
newer=$(find libs services bin protos tools/build.ts \( -name '*.ts' -o -name '*.json' \) -newer dist/stamp -print 2>/dev/null | head -n 1)
if [ -e dist/stamp ] && [ -z "$newer" ]; then
  echo "using the dist/ of the build context"
  exit 0
fi
npm install --global --no-audit --no-fund pnpm@12.21.0
pnpm install --frozen-lockfile
node tools/build.ts
