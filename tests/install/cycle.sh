#!/bin/sh
# sh cycle.sh DEB apt|dpkg: the Debian package's whole life, in a root file system that is thrown away (root.sh has made it,
# with process ids of its own). Says what it has seen, a line each; exit code 1 and what was wrong otherwise.
set -eu
deb=$1
how=$2
# Never on a real root: what follows removes /var/lib/skerry.
[ -d /throw-away-root ] || exit 2

say() { echo "ok: $*"; }
fail() {
  echo "FAILED: $*"
  exit 1
}
install_deb() {
  export DEBIAN_FRONTEND=noninteractive
  # What is thrown away need not reach the disk.
  if [ "$how" = apt ]; then
    set -- apt-get -q -y -o DPkg::Options::=--force-unsafe-io install --no-install-recommends --reinstall "$deb"
  else
    set -- dpkg --force-unsafe-io -i "$deb"
  fi
  "$@" >/tmp/install.log 2>&1 || { tail -n 20 /tmp/install.log; fail "installing with $how"; }
}
files() {
  find /etc /usr /var /run /opt -xdev \( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache/apt -o \
    -path /var/log -o -path /var/cache/man -o -path /var/cache/ldconfig -o -path /etc/ld.so.cache -o -path /var/cache/debconf \) \
    -prune -o -print | sort
}
# Whatever runs of the package or of its VMs, but for zombies.
ours() {
  for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe" || true) in /usr/lib/skerry/* | */qemu-system-*) readlink "$exe" ;; esac
  done
}
nothing_runs() {
  tries=0
  while [ -n "$(ours)" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || fail "still runs: $(ours)"
    sleep 0.2
  done
}
state() { skerry list | awk -v name="$1" '$2 == name { print $3 }'; }
pid() { skerry info "$1" -o json | sed -n 's/^ *"pid": *\([0-9]*\).*/\1/p' | head -n 1; }

if [ "$how" = apt ]; then
  apt-get -q update >/tmp/update.log 2>&1 || { tail -n 5 /tmp/update.log; fail 'apt-get update'; }
  # Once there and gone, so that what it depends on is there before and after.
  install_deb
  dpkg --purge skerry >/dev/null
fi
files >/tmp/before

install_deb
say "installed with $how: $(dpkg-query -W -f '${Status} ${Version}' skerry)"
if [ -e /throw-away-root/kernels ]; then
  mkdir -p /var/cache/skerry
  cp -a /throw-away-root/. /var/cache/skerry/
fi
[ "$(skerry --version | head -n 1)" = "skerry $(dpkg-query -W -f '${Version}' skerry)" ] || fail "$(skerry --version)"
say "$(skerry --version | tr '\n' ',')"
dpkg --verify skerry | grep . && fail 'files differ from what was packed'
skerry host doctor >/tmp/doctor || fail "host doctor: $(cat /tmp/doctor)"
if grep -q '^missing  QEMU' /tmp/doctor; then fail "$(grep '^missing' /tmp/doctor)"; fi
say "the doctor's lines: $(grep -c '^[a-z]' /tmp/doctor), $(grep -m 1 QEMU: /tmp/doctor)"
skerry daemon status >/dev/null || fail 'the daemon does not run'
skerry up /usr/lib/skerry/examples/shop.yaml --dry-run >/tmp/plan || fail 'planning the example'
grep -q 'shop/web' /tmp/plan || fail "the plan of the example: $(cat /tmp/plan)"

if [ -d /var/cache/skerry/kernels ]; then
  skerry create kept micro --memory 64Mi --start >/dev/null || fail 'no VM runs'
  said=$(skerry exec kept -- sh -c 'echo mine >/root/file; sync; uname -s')
  [ "$said" = Linux ] || fail "a VM said: $said"
  say "a VM runs: $(skerry list | tail -n 1)"
  before=$(pid kept)
  install_deb
  skerry daemon status >/dev/null || fail 'an upgrade leaves the daemon down'
  [ "$(pid kept)" = "$before" ] && [ "$(state kept)" = running ] || fail 'the VM has not outlived an upgrade'
  skerry exec kept -- true
  say 'a VM outlives an upgrade, and the daemon is back'
else
  say 'NOT TRIED: running a VM (there is no guest kernel in the cache)'
fi

dpkg --remove skerry >/tmp/remove.log 2>&1 || { cat /tmp/remove.log; fail 'removing'; }
nothing_runs
if [ -d /var/cache/skerry/kernels ]; then
  grep -q 'Shutting down VMs: kept' /tmp/remove.log || fail "removing said: $(cat /tmp/remove.log)"
fi
files | comm -13 /tmp/before - | grep -v '^/var/\(lib\|cache\)/skerry\(/\|$\)' >/tmp/left || true
[ "$(cat /tmp/left)" = /etc/default/skerry ] || fail "a removal leaves: $(head -n 20 /tmp/left)"
say 'removed: VMs shut down, nothing runs, nothing left but the settings and the data'

if [ -d /var/cache/skerry/kernels ]; then
  install_deb
  skerry start kept >/dev/null
  [ "$(skerry exec kept -- cat /root/file)" = mine ] || fail 'the data of a VM did not survive a removal'
  say 'installed again: the VM and its file are there'
fi
dpkg --purge skerry >/tmp/purge.log 2>&1 || { cat /tmp/purge.log; fail 'purging'; }
nothing_runs
files | comm -13 /tmp/before - >/tmp/left
[ ! -s /tmp/left ] || fail "purging leaves: $(head -n 20 /tmp/left)"
files | comm -23 /tmp/before - >/tmp/gone
[ ! -s /tmp/gone ] || fail "purging takes away: $(head -n 20 /tmp/gone)"
say 'purged: nothing left'
