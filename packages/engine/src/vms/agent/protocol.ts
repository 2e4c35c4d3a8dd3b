/**
 * The guest agent's protocol, version 1: numbers only. docs/agent-protocol.md has the meaning; the guest's copy is
 * native/agent/protocol.h, and a test compares the two.
 */

export const PROTOCOL_NEWEST = 1;
/** Agents two releases old are served. */
export const PROTOCOL_OLDEST = 1;

/** No zero byte and no UTF-8 in it: it can't arise from frame headers (each starts with 0), strings or their seams. */
export const MAGIC = Buffer.from('\xf5SKERRY-AGENT/1\xfe', 'latin1');
export const NONCE_BYTES = 8;

/** Longest value of a frame's length field; the field itself is not counted. */
export const FRAME_MAX = 65_536;
/** Type, stream id and the closing zero byte: counted by the length field. */
export const FRAME_OVERHEAD = 6;
/** What may be on its way per stream and channel before the receiver grants more. */
export const WINDOW_BYTES = 262_144;
export const MAX_STREAMS = 256;

export const FRAME = {
  HELLO: 1,
  OPEN: 2,
  DATA: 3,
  CREDIT: 4,
  EOF: 5,
  CLOSE: 6,
  RESET: 7,
  NOTIFY: 8,
  CONTROL: 9,
} as const;

export const OP = {
  IDENTIFY: 1,
  EXEC: 2,
  PUT: 3,
  GET: 4,
  STAT: 5,
  LIST: 6,
  MOUNT: 7,
  UNMOUNT: 8,
  STATS: 9,
  FORWARD: 10,
  SERVICE: 11,
  POWER: 12,
  FREEZE: 13,
  THAW: 14,
  ROOT: 15,
  LINK: 20,
  NICS: 21,
  FAULT: 22,
} as const;

export const FAULT = { BEGIN: 1, END: 2, STATUS: 3 } as const;
export const FAULT_KIND = { CRASH: 1, CPU: 2, MEMORY: 3, CLOCK: 4 } as const;

export const CONTROL = { RESIZE: 1, SIGNAL: 2, CONNECTED: 3 } as const;

export const NOTIFY = { POWEROFF: 1, REBOOT: 2, SERVICE_EXIT: 3, PROTOCOL_ERROR: 4 } as const;

export const SERVICE = { SET: 1, STATUS: 2, STOP: 3 } as const;
/** Spare NICs have these five bytes and their number until they are somebody's. */
export const SPARE_MAC = Buffer.from('\x52\x54\x00\x00\x01', 'latin1');
/** Index: the number on the wire. */
export const NIC_STATES = ['up', 'spare'] as const;
export const SERVICE_STATES = ['none', 'running', 'exited'] as const;
export const RESTARTS = ['never', 'on-failure', 'always'] as const;
export const FILE_TYPES = ['file', 'directory', 'symlink', 'other'] as const;

export const TAG = {
  PROTOCOL: 1,
  OLDEST: 2,
  VERSION: 3,
  BOOT_NONCE: 4,
  KERNEL: 5,
  STARTED_US: 6,
  READY_US: 7,
  FROZEN: 8,
  ERRNO: 16,
  ERROR: 17,
  SEED: 32,
  UNIX_TIME_NS: 33,
  HOSTNAME: 34,
  MACHINE_ID: 35,
  ENV: 36,
  NIC: 37,
  RESOLV_CONF: 38,
  HOSTS: 39,
  MAC: 40,
  CURRENT_MAC: 41,
  ADDRESS: 42,
  GATEWAY: 43,
  MTU: 44,
  ROOT: 45,
  GENERATION: 46,
  BOOT_ID: 47,
  FRESH_KEYS: 48,
  ROUTE: 49,
  ROUTER: 50,
  ARG: 64,
  CWD: 65,
  USER: 66,
  COLS: 67,
  ROWS: 68,
  TIMEOUT_MS: 69,
  STDIN: 70,
  EXIT_CODE: 71,
  SIGNAL: 72,
  SOCKET: 73,
  PATH: 96,
  MODE: 97,
  SIZE: 98,
  SHA256: 99,
  BYTES: 100,
  ENTRY: 101,
  NAME: 102,
  TYPE: 103,
  MTIME_MS: 104,
  MAKE_PARENTS: 105,
  SOURCE: 112,
  TARGET: 113,
  FSTYPE: 114,
  OPTIONS: 115,
  HOST: 120,
  PORT: 121,
  ACTION: 128,
  RESTART: 129,
  STATE: 130,
  PID: 131,
  RESTARTS: 132,
  WILL_RESTART: 133,
  GRACE_MS: 136,
  MEMORY_TOTAL_KIB: 144,
  MEMORY_FREE_KIB: 145,
  MEMORY_AVAILABLE_KIB: 146,
  LOAD_MILLI: 147,
  UPTIME_MS: 148,
  DISK_TOTAL_KIB: 149,
  DISK_FREE_KIB: 150,
  PROCESSES: 151,
  CPU_BUSY_MS: 152,
  CPU_IDLE_MS: 153,
  KIND: 160,
  AMOUNT: 161,
} as const;
