#!/bin/sh
# sh scripts/node.sh FILE ARGUMENTS...: runs a script of ours from the clone's directory with Node >= 24, set up first.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
. scripts/locate.sh
if ! { node_ready && modules_ready; }; then
  sh scripts/setup.sh node modules
  node_ready
fi
exec_node "$@"
