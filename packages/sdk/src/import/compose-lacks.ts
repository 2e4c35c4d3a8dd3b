import { type Lack, lost, unneeded } from './entry.ts';

/** Pure: what a compose service says that a VM has no counterpart for, and what to do instead. */

const FLATTEN = 'Have compose write it out in full (`docker compose config > flat.yaml`), and import that.';
const CGROUP = lost(
  "limits of a container's control group: a VM has its CPUs and its memory",
  'Write `cpu:` and `memory:`.',
);
const PLACE = lost('it is about where a container engine runs it');
const OWN_KERNEL = unneeded('a VM has a kernel of its own: root in it has all rights there, and none on the host');
const NO_RIGHTS = lost('root of the VM is confined to the VM; nothing is taken from it inside');
const NAMESPACE = lost('a VM shares no namespace with the host or another VM');
const DEVICE = lost('devices of the host are not given to VMs');
const RESOLVER = lost('a VM asks the gateway of its network for names', 'Add /etc/resolv.conf under `files`.');
const RECIPE = 'Write a recipe (docs/images.md), and name it under `image`.';

export const SERVICE_LACKS: Readonly<Record<string, Lack>> = {
  annotations: lost('there is one kind of label: `labels`'),
  attach: unneeded('output is shown by `skerry logs`'),
  blkio_config: CGROUP,
  build: lost('a Dockerfile is not read', RECIPE),
  cap_add: OWN_KERNEL,
  cap_drop: NO_RIGHTS,
  cgroup: NAMESPACE,
  cgroup_parent: CGROUP,
  container_name: lost('a VM is called NODE/NAME'),
  cpu_count: CGROUP,
  cpu_percent: CGROUP,
  cpu_period: CGROUP,
  cpu_quota: CGROUP,
  cpu_rt_period: CGROUP,
  cpu_rt_runtime: CGROUP,
  cpu_shares: CGROUP,
  cpuset: lost('a VM is not bound to certain CPUs of the host'),
  credential_spec: lost('it is of Windows containers'),
  develop: lost('nothing is watched', 'Share the source: `shares: [./src:/mnt/src]`.'),
  device_cgroup_rules: DEVICE,
  devices: DEVICE,
  dns: RESOLVER,
  dns_opt: RESOLVER,
  dns_search: RESOLVER,
  domainname: lost("names end in the network's domain"),
  env_file: lost('files of variables are not read', 'Write the variables under `env`.'),
  expose: unneeded('every port of a VM is open to its network'),
  extends: lost('other services and files are not read', FLATTEN),
  external_links: lost('VMs of other nodes are on other networks'),
  extra_hosts: lost('the hosts file is not written', 'Add /etc/hosts under `files`.'),
  gpus: DEVICE,
  group_add: lost('the command runs as root', 'Begin the command with `su`.'),
  init: unneeded('the agent is the init of every VM'),
  ipc: NAMESPACE,
  isolation: unneeded('a VM is isolated'),
  label_file: lost('files of labels are not read', 'Write the labels under `labels`.'),
  logging: lost('output is kept by Skerry', 'See it with `skerry logs`.'),
  mem_reservation: CGROUP,
  mem_swappiness: CGROUP,
  memswap_limit: CGROUP,
  models: lost('VMs are not given language models'),
  network_mode: lost('a VM is on networks of its node', 'Write `networks: [NAME]`.'),
  oom_kill_disable: CGROUP,
  oom_score_adj: CGROUP,
  pid: NAMESPACE,
  pids_limit: CGROUP,
  platform: lost("a VM has the host's architecture"),
  post_start: lost('nothing is run beside the command', 'Make it part of the command.'),
  pre_stop: lost('nothing is run before a stop', 'Have the command catch SIGTERM.'),
  privileged: OWN_KERNEL,
  profiles: lost('every VM of a node is started', 'Take it out, or write `replicas: 0`.'),
  provider: lost('nothing else provides a VM'),
  pull_policy: unneeded('images are built, not pulled'),
  read_only: lost('the disk of a VM can be written to'),
  runtime: PLACE,
  security_opt: lost('a VM is confined by Skerry; what confines processes inside is its own business'),
  shm_size: lost('/dev/shm has half of the memory', 'Write `memory:`.'),
  stdin_open: unneeded('`skerry console` and `skerry shell` lead into it'),
  stop_signal: lost('a command is ended by SIGTERM'),
  storage_opt: lost('a disk has a size', 'Write `disk: 2Gi`.'),
  sysctls: lost('settings of the kernel are not made', 'Begin the command with `sysctl -w NAME=VALUE`.'),
  tmpfs: lost('nothing is mounted in memory but /tmp and /run', 'Begin the command with `mount -t tmpfs`.'),
  tty: unneeded('`skerry console` and `skerry shell` lead into it'),
  ulimits: lost('limits of processes are not set', 'Begin the command with `ulimit`.'),
  use_api_socket: lost('a VM does not reach the engine that runs it'),
  user: lost('the command runs as root', "Begin it with `su -s /bin/sh NAME -c '...'`."),
  userns_mode: NAMESPACE,
  uts: NAMESPACE,
  volumes_from: lost('there are no volumes beside disks', 'Share a directory of the host with both.'),
  working_dir: lost('the command starts in /', 'Begin it with `cd DIRECTORY &&`.'),
};

export const DEPLOY_LACKS: Readonly<Record<string, Lack>> = {
  endpoint_mode: lost('a name leads to each replica by itself'),
  labels: lost('there is one kind of label: `labels` of the service'),
  placement: PLACE,
  rollback_config: lost('`skerry node update` goes back by itself'),
  update_config: lost('how an update goes is said when it is made', 'Type `skerry node update`.'),
};
