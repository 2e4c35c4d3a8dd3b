#!/bin/sh
# Builds native/build/agent (static: it is PID 1 of a guest) and native/build/vmjail. Idempotent by content: what a hash of sources,
# compiler and flags says is built, is left alone. A build goes to a temporary name first, so that two at once don't meet.
set -eu
cd "$(dirname "$0")"
mkdir -p build

# musl makes small static programs that start fast; without it glibc's static library serves (libc6-dev).
if command -v musl-gcc >/dev/null 2>&1; then cc=musl-gcc; else cc=${CC:-gcc}; fi
if ! command -v "$cc" >/dev/null 2>&1; then
  echo "native/build.sh: no C compiler found. Install one: apt-get install gcc musl-tools" >&2
  exit 69
fi
flags='-std=c11 -O2 -Wall -Wextra -Werror -static -s'

# musl brings no kernel headers (netlink, seccomp): the system's, after its own.
headers='-idirafter /usr/include'
multiarch=$("$cc" -print-multiarch 2>/dev/null || true)
if [ -n "$multiarch" ]; then headers="$headers -idirafter /usr/include/$multiarch"; fi
agent_flags="-D_GNU_SOURCE -ffunction-sections -fdata-sections -Wl,--gc-sections $headers"

# build NAME SOURCE...   with the extra flags in $more
more=
build() {
  name=$1
  shift
  stamp=$( (echo "$cc $flags $more"; "$cc" --version | head -n 1; cat "$@" $(ls "$name"/*.h 2>/dev/null)) | sha256sum | cut -d ' ' -f 1)
  if [ -x "build/$name" ] && [ "$(cat "build/$name.sha256" 2>/dev/null)" = "$stamp" ]; then return 0; fi
  # shellcheck disable=SC2086
  "$cc" $flags $more -o "build/.$name.$$" "$@"
  mv -f "build/.$name.$$" "build/$name"
  echo "$stamp" >"build/$name.sha256"
}

case "${1:-all}" in
  agent)
    more=$agent_flags
    build agent agent/*.c
    ;;
  vmjail)
    more=$headers
    build vmjail vmjail/*.c
    ;;
  all)
    more=$headers
    build vmjail vmjail/*.c
    more=$agent_flags
    build agent agent/*.c
    ;;
  *) echo "usage: native/build.sh [agent|vmjail]" >&2; exit 64 ;;
esac
