#!/bin/sh
# sh root.sh overlay|debootstrap DIRECTORY DEB CACHE: makes a root file system in DIRECTORY that is thrown away, and does
# cycle.sh in it. `overlay` is this machine's own, written to aside: seconds, no network. `debootstrap` is a fresh minimal
# system of this machine's distribution from the mirror that its apt uses: minutes. As root, in a mount and a process
# namespace of its own (unshare -m -p --fork --kill-child), so that nothing of it outlives us.
set -eu
kind=$1
dir=$2
deb=$3
cache=$4
root=$dir/root
here=$(dirname "$0")
mkdir -p "$root"

case $kind in
  overlay)
    mkdir -p "$dir/upper/var/cache" "$dir/upper/var/lib" "$dir/work"
    # A device 0/0 is a file that the overlay says is gone (overlayfs.rst, whiteouts): what this machine's own daemon keeps.
    mknod "$dir/upper/var/cache/skerry" c 0 0
    mknod "$dir/upper/var/lib/skerry" c 0 0
    mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$root"
    how=dpkg
    ;;
  debootstrap)
    command -v debootstrap >/dev/null || { echo 'debootstrap is missing: apt-get install debootstrap'; exit 5; }
    # The first source of apt's, as apt itself has understood it.
    set -- $(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | grep -v -e '-security ' | head -n 1)
    [ $# = 2 ] || { echo 'apt has no package lists: apt-get update'; exit 5; }
    debootstrap --variant=minbase "$2" "$root" "$1" >"$dir/debootstrap.log" 2>&1 || { tail -n 5 "$dir/debootstrap.log"; exit 1; }
    # How apt gets there is the machine's business (proxies, certificates).
    cp /etc/resolv.conf "$root/etc/" || true
    cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
    rm -rf "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d"
    cp -r /etc/apt/sources.list /etc/apt/sources.list.d "$root/etc/apt/" 2>/dev/null || true
    how=apt
    ;;
esac
mkdir "$root/throw-away-root"
mount -t proc proc "$root/proc"
# Without the control groups: those are the machine's own daemon's.
mount --bind /sys "$root/sys"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
# What was built of kernels, and what was fetched of packages, so that a VM can start soon.
for part in kernels initrd apt; do
  if [ -e "$cache/$part" ]; then cp -a "$cache/$part" "$root/throw-away-root/"; fi
done
cp "$deb" "$root/tmp/skerry.deb"
cp "$here/cycle.sh" "$root/tmp/"
# Nothing of the environment: HOME, SKERRY_..., and what npm and the tests have set.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
  chroot "$root" sh /tmp/cycle.sh /tmp/skerry.deb "$how"
