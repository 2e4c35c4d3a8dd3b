#!/bin/sh
# sh scripts/test.sh [vitest arguments]: sets up all that the tests need, runs them, ends with 'N passed, N failed'.
# Distribution packages are asked for on a terminal and installed without asking when CI=true.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh packages
sh scripts/setup.sh all

# The system tests boot real images: made once here, not by several tests at the same time.
prepare_images() {
  if [ -f scripts/prepare-images.ts ]; then sh scripts/node.sh scripts/prepare-images.ts >&2; fi
}
case " $* " in
  *' --project unit '* | *' --project process '*) ;;
  *) prepare_images ;;
esac
exec sh scripts/node.sh node_modules/vitest/vitest.mjs run "$@"
