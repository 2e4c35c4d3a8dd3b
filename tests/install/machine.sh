# What the scripts have in common that run in a machine made by machine-root.sh.
set -u
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /root || exit 1

say() { echo "ok: $*"; }
fail() {
  echo "FAILED: $*"
  systemctl --no-pager status skerryd
  journalctl --no-pager -u skerryd -o cat | tail -n 20
  find /run/skerry* -name log -size +0 2>/dev/null | while read -r log; do
    echo "== $log"
    tail -n 5 "$log"
  done
  systemctl poweroff
  exit 1
}
pid() { skerry info "$1" -o json | sed -n 's/^ *"pid": *\([0-9]*\).*/\1/p' | head -n 1; }
state() { skerry list | awk -v name="$1" '$2 == name { print $3 }'; }
# The machine is emulated: slow.
within_minutes() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || return 1
    sleep 5
  done
}
