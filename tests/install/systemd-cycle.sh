#!/bin/sh
# The package on a machine whose init is systemd (machine-root.sh has made it), as a service of it, through two boots. Says
# what it has seen, a line each; `FAILED: ...` and what is wrong otherwise. Ends by switching the machine off.
. /root/machine.sh
kept_runs() { [ "$(state kept)" = running ]; }
# Systemd learns of a process's end a moment later than who waits for its socket.
unit_is_down() { ! systemctl is-active --quiet skerryd; }
unit_runs() { systemctl is-active --quiet skerryd && skerry daemon status >/dev/null; }

first_boot() {
  dpkg -i skerry.deb >/tmp/install.log 2>&1 || fail "installing: $(tail -n 5 /tmp/install.log)"
  systemctl is-enabled --quiet skerryd || fail 'the unit is not enabled'
  # At once, while systemd still starts it: the command waits for that one, and starts none of its own.
  skerry list >/dev/null || fail 'no daemon answers'
  daemon=$(systemctl show -p MainPID --value skerryd)
  [ "$(skerry daemon status -o json | sed -n 's/^ *"pid": *\([0-9]*\).*/\1/p')" = "$daemon" ] || fail 'another daemon than the unit answers'
  say "installed: $(systemctl is-active skerryd), $(systemd --version | head -n 1), control groups: $(stat -fc %T /sys/fs/cgroup)"
  systemd-analyze verify skerryd.service || fail 'systemd-analyze verify'
  systemd-analyze security --no-pager skerryd.service | tail -n 1
  skerry host doctor || fail 'the doctor'
  skerry bundle load site.bundle --timeout 20m || fail 'the bundle'

  skerry create kept micro --memory 64Mi --start --timeout 20m || fail 'no VM runs'
  skerry info kept
  skerry exec kept -- sh -c 'echo mine >/root/file; sync' || fail 'exec'
  skerry autostart kept on || fail 'autostart'
  qemu=$(pid kept)
  group=/sys/fs/cgroup$(cut -d: -f3 "/proc/$qemu/cgroup")
  for file in memory.max pids.max; do
    grep -q '^[0-9]' "$group/$file" || fail "$group/$file: $(cat "$group/$file")"
  done
  say "the VM is in $group: memory.max $(cat "$group/memory.max"), pids.max $(cat "$group/pids.max")"

  systemctl restart skerryd || fail 'restart'
  skerry exec kept -- true || fail 'exec after a restart'
  [ "$(pid kept)" = "$qemu" ] || fail 'another QEMU after a restart'
  say 'the VM outlives a restart of the unit'
  kill -9 "$(systemctl show -p MainPID --value skerryd)"
  within_minutes unit_runs || fail 'systemd has not started the daemon again'
  skerry exec kept -- true || fail 'exec after a kill'
  [ "$(pid kept)" = "$qemu" ] || fail 'another QEMU after a kill'
  say 'the daemon killed: systemd starts it again, the VM goes on'
  skerry daemon stop || fail 'daemon stop'
  within_minutes unit_is_down || fail 'daemon stop has not stopped the unit'
  sleep 5
  unit_is_down || fail 'stopped, and systemd has started it again'
  skerry list >/dev/null
  systemctl is-active --quiet skerryd || fail 'a command has started another daemon than the unit'
  skerry daemon logs | grep -q listening || fail 'daemon logs'
  say 'stopped, it stays so until a command needs it: then by the unit'
  systemd-cgls --no-pager /system.slice/skerryd.service | head -n 20
  touch /root/second
  sync
  systemctl reboot
}

second_boot() {
  within_minutes kept_runs || fail "after a reboot: $(skerry list)"
  [ "$(skerry exec kept -- cat /root/file)" = mine ] || fail 'the file of the VM is not there after a reboot'
  say 'after a reboot the VM is back, with its file'
  useradd -m -s /bin/sh someone
  loginctl enable-linger someone
  uid=$(id -u someone)
  within_minutes test -S "/run/user/$uid/bus" || fail 'the user has no manager'
  as_user() { su someone -c "cd; export XDG_RUNTIME_DIR=/run/user/$uid; $1"; }
  as_user 'skerry daemon install' || fail "a user's install"
  as_user 'systemctl --user is-active skerryd && skerry daemon status' || fail "a user's unit does not run"
  as_user 'skerry daemon stop; skerry list; systemctl --user is-active skerryd' || fail "a user's unit is not started by a command"
  as_user 'skerry daemon uninstall' || fail "a user's uninstall"
  as_user 'systemctl --user is-active skerryd' && fail "a user's unit is left"
  say "a user's own unit: installed, started by a command, removed"

  dpkg --remove skerry >/tmp/remove.log 2>&1 || fail "removing: $(cat /tmp/remove.log)"
  systemctl is-active --quiet skerryd && fail 'removed, and it runs'
  pgrep -a qemu && fail 'removed, and VMs are left'
  left=$(find /sys/fs/cgroup -name '*skerry*')
  [ -z "$left" ] || fail "removed, and control groups are left: $left"
  dpkg --purge skerry >/dev/null 2>&1 || fail 'purging'
  say 'removed: nothing runs, no control group is left'
  echo PASSED
  systemctl poweroff
}

if [ -e /root/second ]; then second_boot; else first_boot; fi
