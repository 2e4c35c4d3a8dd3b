#!/bin/sh
# sh machine-root.sh DIRECTORY DEB BUNDLE SCRIPT [PACKAGE...]: makes DIRECTORY/disk.raw, vmlinuz and initrd of a fresh system
# of this machine's distribution with systemd as init, where SCRIPT runs as a service. Takes minutes and the network. As root, in a
# mount and a process namespace of its own (unshare -m -p --fork --kill-child).
set -eu
dir=$1
deb=$2
bundle=$3
script=$4
shift 4
more=$*
root=$dir/root
here=$(dirname "$0")
command -v debootstrap >/dev/null || { echo 'debootstrap is missing: apt-get install debootstrap'; exit 5; }
# The first source of apt's, as apt itself has understood it.
set -- $(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | grep -v -e '-security ' | head -n 1)
[ $# = 2 ] || { echo 'apt has no package lists: apt-get update'; exit 5; }
include=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,udev,iproute2,kmod,procps,man-db,initramfs-tools,linux-image-cloud-amd64
debootstrap --variant=minbase --include=$include "$2" "$root" "$1" >"$dir/debootstrap.log" 2>&1 ||
  { tail -n 5 "$dir/debootstrap.log"; exit 1; }
# How apt gets there is the machine's business (proxies, certificates).
cp /etc/resolv.conf "$root/etc/" || true
cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
rm -rf "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d"
cp -r /etc/apt/sources.list /etc/apt/sources.list.d "$root/etc/apt/" 2>/dev/null || true
mount -t proc proc "$root/proc"
mount --bind /sys "$root/sys"
mount --bind /dev "$root/dev"
cp "$deb" "$root/root/skerry.deb"
# Once there and gone, so that what it depends on is there: the machine itself has no network.
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
  chroot "$root" sh -c 'apt-get -q update &&
    apt-get -q -y -o DPkg::Options::=--force-unsafe-io install --no-install-recommends /root/skerry.deb $0 &&
    dpkg --purge skerry && apt-get clean' "$more" >"$dir/apt.log" 2>&1 || { tail -n 5 "$dir/apt.log"; exit 1; }
umount "$root/proc" "$root/sys" "$root/dev"

cp "$bundle" "$root/root/site.bundle"
install -m 755 "$here/$script" "$root/root/cycle.sh"
install -m 644 "$here/machine.sh" "$root/root/machine.sh"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
cat >"$root/etc/systemd/system/cycle.service" <<'END'
[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/sh -c '/root/cycle.sh 2>&1 | cat >/dev/ttyS1'
[Install]
WantedBy=multi-user.target
END
ln -s ../cycle.service "$root/etc/systemd/system/multi-user.target.wants/"
cp "$root"/boot/vmlinuz-* "$dir/vmlinuz"
cp "$root"/boot/initrd.img-* "$dir/initrd"
mke2fs -q -t ext4 -d "$root" "$dir/disk.raw" 4G
