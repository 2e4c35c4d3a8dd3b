#!/bin/sh
# What takes KVM (emulated: QEMU's TCG has AMD's SVM), a kernel with netem and VLAN filtering, an active AppArmor, Docker,
# firewalld and libvirt: VMs of the package on such a machine, which machine-root.sh has made. A line for each thing seen; `FAILED: ...`
# and what is wrong otherwise. Ends by switching the machine off.
. /root/machine.sh

WORLD=198.51.100.2

guest() { name=$1 && shift && skerry exec "$name" -- "$@"; }
sleeps() { guest "$1" ps | grep -q '[s]leep 100000'; }
confinement() { cat "/proc/$(pid "$1")/attr/current" 2>/dev/null; }
# Milliseconds there and back, the mean of five.
ping_ms() { guest "$1" ping -c 5 -i 0.3 -W 3 "$2" | sed -n 's|.*min/avg/max = [0-9.]*/\([0-9]*\).*|\1|p'; }
reaches_world() { guest "$1" ping -c 1 -W 3 $WORLD >/dev/null; }
address() { skerry nic list "$1" -o json | sed -n 's/^ *"address": *"\([0-9.]*\)".*/\1/p' | sed -n "${2:-1}p"; }

# Debian starts both at once; they have their turn.
without_others() {
  systemctl stop docker docker.socket containerd firewalld libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd
  # They leave their bridges behind, and whoever has one is taken to need a host that passes packets on.
  for bridge in docker0 virbr0; do
    if [ -e /sys/class/net/$bridge ]; then ip link delete $bridge; fi
  done
  nft flush ruleset
  iptables -P FORWARD ACCEPT
  sysctl -q -w net.ipv4.ip_forward=0
}

install_it() {
  dpkg -i skerry.deb >/tmp/install.log 2>&1 || fail "installing: $(tail -n 5 /tmp/install.log)"
  skerry bundle load site.bundle --timeout 20m >/dev/null || fail 'the bundle'
  skerry host doctor >/tmp/doctor.log || fail "the doctor: $(cat /tmp/doctor.log)"
  cat /tmp/doctor.log
  grep -q 'A guest runs under KVM' /tmp/doctor.log || fail 'no KVM in this machine: QEMU or the kernel are too old'
  say "KVM: $(grep -m 1 '^model name' /proc/cpuinfo | cut -d: -f2), $(uname -r)"
}

ways_to_start() {
  skerry create cold micro --memory 64Mi --cold --start --timeout 20m || fail 'a cold start'
  skerry info cold | tail -n 14
  skerry info cold | grep -q '(micro kernel, kvm, microvm)' || fail "not under KVM: $(skerry info cold)"
  clock=$(guest cold cat /sys/devices/system/clocksource/clocksource0/current_clocksource)
  say "cold start under KVM, clock source $clock"
  skerry create a micro --memory 64Mi --start --timeout 20m || fail 'a clone'
  skerry info a | grep -q 'cloned from a template' || fail "no clone: $(skerry info a)"
  skerry create b micro --memory 64Mi --start --timeout 20m || fail 'a second clone'
  skerry info b | tail -n 12
  [ "$(guest a cat /etc/machine-id)" != "$(guest b cat /etc/machine-id)" ] || fail 'two clones with one identity'
  say 'clones under KVM, each with an identity of its own'
  guest a sh -c 'echo 7 >/root/n; sleep 100000 >/dev/null 2>&1 &' || fail 'exec'
  skerry fork a twin --timeout 20m || fail 'a fork'
  seen=$(guest twin sh -c 'cat /root/n; hostname' | tr '\n' ' ')
  [ "$seen" = '7 twin ' ] || fail "the fork is not what it was: $seen"
  sleeps twin || fail 'the fork has lost a process'
  sleeps a || fail 'the original has lost a process'
  say 'a fork under KVM: file, process, a name of its own'
  skerry suspend twin --timeout 20m && skerry start twin --timeout 20m || fail 'suspend and start'
  sleeps twin || fail 'a process is lost by suspending'
  now=$(guest twin date +%s)
  [ $((now - $(date +%s))) -gt -15 ] || fail "the clock of who was suspended is $now"
  say 'suspended and gone on, with its process; the clock is right'
  skerry create full micro --kernel distro --memory 256Mi --start --timeout 30m || fail "the distribution's kernel"
  skerry info full | tail -n 12
  skerry info full | grep -q 'kvm, q35' || fail "not q35 under KVM: $(skerry info full)"
  say "the distribution's kernel on q35 under KVM"
  skerry pool set micro --size 1 --memory 64Mi || fail 'the pool'
  within_minutes sh -c "skerry pool list | grep -q '1 of 1\| 1 *1 '" || fail "nobody waits: $(skerry pool list)"
  skerry create pooled micro --memory 64Mi --start --timeout 20m || fail 'from the pool'
  skerry info pooled | grep -q 'taken from the pool' || fail "not from the pool: $(skerry info pooled)"
  skerry pool set micro --size 0
  skerry delete cold full pooled twin --force -y || fail 'delete'
  say 'one of a pool under KVM'
}

nodes() {
  cat >/root/pair.yaml <<'END'
apiVersion: skerry/v1
kind: Node
name: pair
defaults: { memory: 64Mi, networks: [inner] }
vms:
  x: { health: { exec: 'true' } }
  y: { dependsOn: [x] }
networks: { inner: {} }
END
  skerry up /root/pair.yaml --timeout 20m || fail 'a node'
  guest pair/x ping -c 1 -W 5 y >/dev/null || fail 'no way inside a node'
  skerry node fork pair pair-b --timeout 20m || fail "a node's fork"
  guest pair-b/x ping -c 1 -W 5 y >/dev/null || fail "no way inside a node's fork"
  skerry node save pair before --timeout 20m || fail "a node's save"
  guest pair/x touch /root/later
  skerry node restore pair before -y --timeout 20m || fail "a node's restore"
  guest pair/x test -e /root/later && fail 'restored, and what came later is there'
  guest pair/x ping -c 1 -W 5 y >/dev/null || fail 'no way inside a restored node'
  skerry node delete pair -y && skerry node delete pair-b -y || fail 'deleting a node'
  say 'a node under KVM: up, forked, saved, restored'
}

shares() {
  mkdir -p /srv/shared && echo from the host >/srv/shared/file
  for how in virtiofs 9p; do
    option=$([ $how = 9p ] || echo :$how)
    skerry create $how micro --memory 64Mi --share "/srv/shared:/mnt/shared$option" --start --timeout 20m || fail "a share by $how"
    [ "$(guest $how cat /mnt/shared/file)" = 'from the host' ] || fail "the share is not there by $how"
    guest $how sh -c 'echo from the guest >/mnt/shared/answer' || fail "nothing can be written by $how"
    [ "$(cat /srv/shared/answer)" = 'from the guest' ] || fail "what was written by $how has not come"
    rm /srv/shared/answer
    guest $how mount | grep ' /mnt/shared '
    skerry delete $how --force -y
  done
  say 'shared directories by virtiofs and 9p, under KVM and AppArmor'
}

apparmor() {
  [ "$(cat /sys/module/apparmor/parameters/enabled)" = Y ] || fail 'AppArmor is off here'
  confinement a | grep -q '^skerry.*(enforce)' || fail "not confined: $(confinement a)"
  say "AppArmor: $(confinement a)"
}

a_world() {
  ip netns add world
  ip link add world0 type veth peer name out netns world
  ip address add 198.51.100.1/24 dev world0
  ip link set world0 up
  ip -n world address add $WORLD/24 dev out
  ip -n world link set out up
}

networks() {
  skerry network create lab --mode nat --subnet 192.168.60.0/24 --datapath kernel || fail 'a network in the kernel'
  for name in n1 n2; do
    skerry create $name micro --memory 64Mi --network lab --start --timeout 20m || fail "$name"
  done
  tr '\0' ' ' <"/proc/$(pid n1)/cmdline" | grep -q vhost=on || fail 'the kernel does not move its frames'
  reaches_world n1 || fail 'no way out'
  skerry suspend n1 --timeout 20m && skerry start n1 --timeout 20m || fail 'suspend and start on a bridge'
  reaches_world n1 || fail 'no way out after going on from memory'
  skerry fork n1 n3 --timeout 20m || fail 'a fork on a bridge'
  reaches_world n3 || fail 'no way out of a fork'
  skerry delete n3 --force -y || fail 'deleting a fork'
  say "suspended, gone on and forked on a bridge"
  other=$(address n2)
  plain=$(ping_ms n1 "$other")
  skerry link impair n1:eth0 --delay 150ms --dir a2b --for 5m || fail 'impair'
  tc qdisc show | grep netem || fail "no netem: $(tc qdisc show)"
  late=$(ping_ms n1 "$other")
  if [ "$late" -lt 150 ] || [ "$late" -gt $((350 + plain)) ]; then fail "asked for 150 ms, got $late (before: $plain)"; fi
  skerry link impair n1:eth0 --clear || fail 'clear'
  skerry link impair n1:eth0 --loss 100% --for 30s || fail 'loss'
  guest n1 ping -c 1 -W 2 "$other" >/dev/null && fail 'nothing was lost'
  within_minutes guest n1 ping -c 1 -W 2 "$other" >/dev/null || fail 'the loss has not ended by itself'
  if tc qdisc show | grep netem; then fail 'netem is left'; fi
  say "netem under VMs: $plain ms, asked for 150 more: $late ms; a loss that ended by itself"
  skerry network create tagged --mode nat --subnet 192.168.61.0/24 --datapath kernel || fail 'a second network'
  skerry nic add n1 --network tagged --vlan 10 && skerry nic add n2 --network tagged --vlan 10 || fail 'NICs in a VLAN'
  inner=$(address n2 2)
  guest n1 ping -c 2 -W 3 "$inner" >/dev/null || fail 'one VLAN, and no way'
  bridge vlan show | grep -w 10 || fail "the kernel filters no VLAN: $(bridge vlan show)"
  skerry nic set n2 eth1 --vlan 20 || fail 'another VLAN'
  guest n1 ping -c 1 -W 2 "$(address n2 2)" >/dev/null && fail 'from one VLAN into another'
  say 'VLANs that the bridge filters, under VMs'
}

# Both lead out, whoever was first, and after either has made its rules anew.
both() {
  reaches_world n1 || fail "$1: the VM has lost its way out: $(nft list ruleset | head -n 80)"
  docker exec box ping -c 1 -W 3 $WORLD >/dev/null || fail "$1: the container has lost its way out"
}

beside_docker() {
  # It drops what others pass on only where it was the one to turn forwarding on.
  grep -q 0 /proc/sys/net/ipv4/ip_forward || fail 'we have made the whole host a router'
  reaches_world n1 || fail 'no way out before Docker'
  systemctl start docker || fail 'Docker does not start'
  mkdir -p /tmp/box/bin && cp "$(command -v busybox)" /tmp/box/bin/ && ln -s busybox /tmp/box/bin/ping
  ln -s busybox /tmp/box/bin/sleep
  tar -C /tmp/box -c bin | docker import - box >/dev/null || fail 'docker import'
  docker run -d --name box box /bin/sleep 100000 >/dev/null || fail 'docker run'
  iptables -S FORWARD | grep -q 'P FORWARD DROP' || fail "Docker drops nothing here: $(iptables -S FORWARD)"
  within_minutes reaches_world n1 || fail "Docker's rules are in the way: $(iptables -S)"
  both 'Docker after us'
  skerry stop n1 n2 || fail 'stop'
  sleep 10
  docker exec box ping -c 1 -W 3 $WORLD >/dev/null || fail 'we have gone, and the container has lost its way out'
  skerry start n1 --timeout 20m && skerry start n2 --timeout 20m || fail 'start beside Docker'
  within_minutes reaches_world n1 || fail "Docker's rules are in the way: $(iptables -S)"
  both 'Docker before us'
  systemctl restart docker && docker start box >/dev/null || fail 'Docker does not start again'
  within_minutes reaches_world n1
  both 'Docker started again'
  nft flush ruleset
  systemctl restart docker && docker start box >/dev/null
  within_minutes reaches_world n1
  both 'all rules lost'
  say "beside $(docker --version): a VM and a container both lead out, also after a restart and a loss of all rules"
  docker rm -f box >/dev/null
  systemctl stop docker docker.socket containerd
  # It leaves it behind that what is passed on is dropped, and firewalld takes away what let us pass.
  iptables -P FORWARD ACCEPT
}

beside_firewalld() {
  systemctl start firewalld || fail 'firewalld does not start'
  # Its rules are its administrator's: we say what to type, once we have looked.
  within_minutes sh -c "skerry network show lab | grep -q 'type: '"
  remedy=$(skerry network show lab | sed -n 's/.*; type: //p')
  echo "$remedy" | grep -q '^firewall-cmd ' || fail "nothing is said of firewalld: $(skerry network show lab)"
  sh -c "$remedy" || fail "firewalld does not take what we say: $remedy"
  within_minutes reaches_world n1 || fail "firewalld is in the way: $(nft list ruleset | head -n 150)"
  firewall-cmd --reload >/dev/null || fail 'firewalld does not reload'
  within_minutes reaches_world n1 || fail "after a reload of firewalld there is no way out: $(nft list ruleset | head -n 150)"
  guest n1 ping -c 1 -W 2 "$(address n2)" >/dev/null || fail 'no way from VM to VM beside firewalld'
  nft list tables | grep -q firewalld || fail 'we have taken the rules of firewalld'
  say "beside firewalld $(firewall-cmd --version): with what we say the way out is there, also after a reload ($remedy)"
  systemctl stop firewalld
}

its_network_runs() {
  virsh net-info default | grep -q '^Active: *yes' || virsh net-start default >/tmp/net-start.log 2>&1
}
# A namespace at libvirt's bridge is its guest.
its_guest_reaches_world() { ip netns exec its busybox ping -c 1 -W 3 $WORLD >/dev/null; }

beside_libvirt() {
  # Docker has left the host a router.
  sysctl -q -w net.ipv4.ip_forward=0
  within_minutes reaches_world n1 || fail 'passing on was turned off, and is not on again for us'
  systemctl start libvirtd || fail 'libvirtd does not start'
  within_minutes its_network_runs || fail "its network does not start: $(cat /tmp/net-start.log)"
  ip netns add its
  ip link add its0 type veth peer name eth0 netns its
  ip link set its0 master virbr0 up
  ip -n its address add 192.168.122.50/24 dev eth0
  ip -n its link set eth0 up
  ip -n its route add default via 192.168.122.1
  within_minutes its_guest_reaches_world || fail "its guest has no way out beside us: $(nft list ruleset | head -n 150)"
  reaches_world n1 || fail "libvirt's rules are in the way: $(iptables -S)"
  nft flush ruleset
  systemctl restart libvirtd
  within_minutes its_guest_reaches_world || fail "all rules lost: its guest has no way out: $(nft list ruleset | head -n 150)"
  within_minutes reaches_world n1 || fail "all rules lost: the VM has no way out: $(nft list ruleset | head -n 150)"
  ip netns exec its busybox ping -c 1 -W 2 "$(address n1)" >/dev/null && fail 'its guest reaches our VM'
  guest n1 ping -c 1 -W 2 192.168.122.50 >/dev/null && fail 'our VM reaches its guest'
  skerry stop n1 n2 || fail 'stop'
  sleep 10
  its_guest_reaches_world || fail 'we have gone, and its guest has lost its way out'
  say "beside libvirt $(libvirtd --version | sed 's/.* //'): a VM and its guest both lead out, not to each other, also after a loss of all rules; and it without us"
  virsh net-destroy default >/dev/null
  systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd
  ip netns delete its
}

# ifb0 and ifb1 come with the kernel's module.
nothing_is_left() {
  ! pgrep qemu >/dev/null && ! nft list tables | grep -qi skerry && ! aa-status 2>/dev/null | grep -q skerry- &&
    [ -z "$(ip -br link | grep -v '^\(lo\|world0\|docker0\|ifb[01] \)')" ]
}

cleanly() {
  if dmesg | grep 'apparmor="DENIED"' | grep -i skerry; then fail 'AppArmor has denied something that a VM needs'; fi
  skerry delete a b n1 n2 --force -y && skerry network delete lab && skerry network delete tagged || fail 'deleting'
  # Switch and ways out wait some seconds for the next VM.
  within_minutes nothing_is_left || fail "left: $(pgrep -a qemu; ip -br link; nft list tables; aa-status 2>/dev/null)"
  say 'nothing is left'
}

without_others
install_it
ways_to_start
nodes
apparmor
shares
a_world
networks
beside_docker
beside_firewalld
beside_libvirt
cleanly
echo PASSED
systemctl poweroff
