#!/bin/sh
# sh scripts/setup.sh STEP...   steps: packages [--yes] | node | modules | native | all (the last three)
# Each step finds out by itself whether there is anything to do, and says on stderr what it does and how long that took.
# Interrupted anywhere, it goes on at the next call: each result is made aside and moved or marked as its last act.
# Exit code 5: may not (rights, a tool missing), with what to do; 1: failed, with the end of the log.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
. "$root/scripts/locate.sh"
log=$cache/setup.log

say() { echo "skerry: $*" >&2; }

# refuse MESSAGE REMEDY
refuse() {
  say "$1"
  echo "  remedy: $2" >&2
  exit 5
}

make_cache() {
  mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] ||
    refuse "can't write to the cache directory $cache" "set SKERRY_CACHE_DIR to a directory of yours"
  # npm keeps its own cache in HOME, which a service's user may not have.
  [ -w "${HOME:-/nonexistent}" ] || export npm_config_cache="$cache/npm"
}

# step TEXT COMMAND...: output goes to the log, whose end is shown when the command fails.
step() {
  what=$1
  shift
  began=$(date +%s)
  say "$what ..."
  if "$@" >"$log" 2>&1 </dev/null; then
    say "$what: done ($(($(date +%s) - began)) s)"
  else
    tail -n 20 "$log" | sed 's/^/  | /' >&2
    say "$what: FAILED after $(($(date +%s) - began)) s; the whole log is $log"
    exit 1
  fi
}

# lock FILE: waits for another set-up. The kernel ends a lock with its process, so there are no stale ones.
lock() {
  exec 9<"$1"
  flock -n 9 && return 0
  say 'waiting for another set-up to finish ...'
  flock 9
}
unlock() { exec 9<&-; }

# --- Node

npm_found() {
  command -v npm >/dev/null 2>&1 || refuse 'npm is not installed' 'apt-get install npm'
}

find_system_node() {
  for candidate in "$(command -v node || true)" /usr/local/bin/node /usr/bin/node; do
    [ -x "$candidate" ] || continue
    version=$("$candidate" --version 2>/dev/null) || continue
    major=${version#v}
    if [ "${major%%.*}" -ge 24 ] 2>/dev/null; then
      echo "$version $candidate" >"$cache/system-node.$$"
      mv -f "$cache/system-node.$$" "$cache/system-node"
      return 0
    fi
  done
  return 1
}

install_node() {
  # --ignore-scripts=false: this package gets the binary of the machine's architecture in its preinstall script.
  npm install --prefix "$1" --no-audit --no-fund --no-update-notifier --ignore-scripts=false node@24 9<&- &&
    "$1/node_modules/node/bin/node" --version
}

setup_node() {
  if node_ready; then return 0; fi
  if [ -n "${SKERRY_NODE:-}" ]; then
    refuse "SKERRY_NODE names $SKERRY_NODE, which is no program" 'point it at a Node >= 24, or unset it'
  fi
  make_cache
  if find_system_node; then return 0; fi
  npm_found
  touch "$cache/setup.lock"
  lock "$cache/setup.lock"
  if ! node_ready; then
    rm -rf "$cache"/node24.new.* # of a set-up that was killed
    new=$(mktemp -d "$cache/node24.new.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    trap 'exit 130' INT TERM
    step 'installing a private Node 24 (npm)' install_node "$new"
    mkdir -p "$new/node24/bin"
    mv "$new/node_modules/node/bin/node" "$new/node24/bin/node"
    chmod 755 "$new/node24"
    mv "$new/node24" "$cache/node24"
    rm -rf "$new"
  fi
  unlock
}

# --- node_modules

modules_match() { "$node" "$root/scripts/modules-match.mjs" "$root" 2>/dev/null; }

# Not `npm ci`: it refuses any lock file when the registry lacks a tool's build for some other platform (a mirror may).
# From an empty node_modules, with the lock file kept as it is, the result is the same.
npm_install() {
  rm -rf node_modules
  PATH=$(dirname "$node"):$PATH npm install --no-save --no-audit --no-fund --no-update-notifier 9<&-
}

setup_modules() {
  if modules_ready; then return 0; fi
  node_ready || setup_node
  lock "$root/package.json"
  if modules_ready; then
    unlock
    return 0
  fi
  if ! modules_match; then
    [ -w "$root" ] || refuse "node_modules is not set up, and $root is read-only" \
      "as the owner of that directory: sh '$root/scripts/setup.sh' all"
    make_cache
    npm_found
    cd "$root"
    step 'installing JavaScript packages (npm)' npm_install
  fi
  # In a read-only clone the mark can't be set: each start then compares again.
  touch "$root/node_modules/.skerry-setup" 2>/dev/null || true
  unlock
}

# --- native programs

setup_native() {
  if native_ready; then return 0; fi
  lock "$root/native/build.sh"
  if ! native_ready; then
    command -v gcc >/dev/null 2>&1 || command -v musl-gcc >/dev/null 2>&1 || command -v "${CC:-cc}" >/dev/null 2>&1 ||
      refuse 'there is no C compiler to build native/ with' 'apt-get install gcc libc6-dev musl-tools'
    make_cache
    if [ -w "$root/native" ]; then
      step 'building the native programs' sh "$root/native/build.sh"
      touch "$root/native/build/.checked"
    elif ! sh "$root/native/build.sh" >/dev/null 2>&1; then
      refuse "the native programs are not built, and $root is read-only" \
        "as the owner of that directory: sh '$root/scripts/setup.sh' native"
    fi
  fi
  unlock
}

# --- distribution packages

missing_packages() {
  PATH=$PATH:/usr/sbin:/sbin
  while read -r package proof _comment; do
    case $package in '' | '#'*) continue ;; esac
    case $proof in
      /*) [ -e "$proof" ] || printf '%s ' "$package" ;;
      *) command -v "$proof" >/dev/null 2>&1 || printf '%s ' "$package" ;;
    esac
  done <"$root/scripts/packages.txt"
}

# Package lists are missing in fresh containers, and those older than a day name versions that mirrors have dropped.
lists_stale() {
  [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -1440 2>/dev/null | head -n 1)" ]
}

# apt COMMAND...: as root or by sudo; waits for another apt to end.
apt() {
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 "$@"
}

ask() {
  printf 'skerry: %s [Y/n] ' "$1" >&2
  read -r answer || answer=n
  case $answer in '' | [yY]*) return 0 ;; *) return 1 ;; esac
}

setup_packages() {
  missing=$(missing_packages)
  if [ -z "$missing" ]; then return 0; fi
  remedy="apt-get update && apt-get install --no-install-recommends $missing"
  command -v apt-get >/dev/null 2>&1 ||
    refuse "these programs are missing (by their Debian names): $missing" "install them with your distribution's packager"
  terminal=false
  if [ -t 0 ] && [ -t 2 ]; then terminal=true; fi
  sudo=
  if [ "$(id -u)" != 0 ]; then
    $terminal && command -v sudo >/dev/null 2>&1 ||
      refuse "distribution packages are missing: $missing" "as root: $remedy"
    sudo=sudo
  fi
  if [ "$1" != yes ] && [ "${CI:-}" != true ]; then
    $terminal || refuse "distribution packages are missing: $missing" "$remedy (or the same command with CI=true)"
    ask "Install these distribution packages${sudo:+ with sudo}: $missing?" ||
      refuse 'not installed' "$remedy"
  fi
  make_cache
  if [ -n "$sudo" ]; then sudo -v || refuse 'sudo was refused' "as root: $remedy"; fi
  if lists_stale; then step 'updating the package lists (apt-get update)' apt update; fi
  # shellcheck disable=SC2086
  step "installing distribution packages: $missing" apt install --no-install-recommends $missing
  missing=$(missing_packages)
  [ -z "$missing" ] || refuse "still missing after the installation: $missing" "see $log"
}

[ $# -gt 0 ] || set -- all
answer_yes=no
for argument; do
  if [ "$argument" = --yes ]; then answer_yes=yes; fi
done
for argument; do
  case $argument in
    --yes) ;;
    packages) setup_packages "$answer_yes" ;;
    node) setup_node ;;
    modules) setup_modules ;;
    native) setup_native ;;
    all)
      setup_node
      setup_modules
      setup_native
      ;;
    *)
      echo 'usage: sh scripts/setup.sh packages [--yes] | node | modules | native | all' >&2
      exit 2
      ;;
  esac
done
