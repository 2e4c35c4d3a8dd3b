# Sourced with $root (the clone's directory) set. Sets $cache, and by the *_ready functions $node.
# ./skerry sources this on every command: shell builtins only, because each process started costs milliseconds of the 30
# that a command has (`id -u` alone cost 3 on a busy machine).
# shellcheck shell=sh disable=SC2154,SC2034

if [ -n "${SKERRY_CACHE_DIR:-}" ]; then
  cache=$SKERRY_CACHE_DIR
else
  # proc(5): "Uid: real effective saved filesystem" of the shell itself.
  while read -r key _ uid _; do
    if [ "$key" = Uid: ]; then break; fi
  done </proc/self/status
  if [ "$uid" = 0 ]; then
    cache=/var/cache/skerry
  else
    if [ -z "${HOME:-}" ]; then
      HOME=$(getent passwd "$uid" | cut -d : -f 6)
      export HOME
    fi
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/skerry
  fi
fi

# Node >= 24: the one named by $SKERRY_NODE, our private one, or a system's one that set-up found and noted.
node_ready() {
  if [ -n "${SKERRY_NODE:-}" ]; then
    node=$SKERRY_NODE
    [ -x "$node" ]
    return
  fi
  node=$cache/node24/bin/node
  if [ -x "$node" ]; then return 0; fi
  [ -r "$cache/system-node" ] && read -r _version node <"$cache/system-node" &&
    [ -x "$node" ] && ! [ "$node" -nt "$cache/system-node" ]
}

# Set-up writes the mark last; a changed lock file is newer than it.
modules_ready() {
  [ -e "$root/node_modules/.skerry-setup" ] && ! [ "$root/package-lock.json" -nt "$root/node_modules/.skerry-setup" ]
}

native_ready() {
  [ -x "$root/native/build/vmjail" ] && [ -x "$root/native/build/agent" ] && [ -e "$root/native/build/.checked" ] ||
    return 1
  for source in "$root"/native/build.sh "$root"/native/*/*.[ch]; do
    if [ "$source" -nt "$root/native/build/.checked" ]; then return 1; fi
  done
}

# Runs our Node on unbuilt source. The compile cache saves ~40 ms of parsing and type stripping per start.
exec_node() {
  export NODE_COMPILE_CACHE="$cache/compile-cache"
  exec "$node" --conditions=source --disable-warning=ExperimentalWarning "$@"
}
