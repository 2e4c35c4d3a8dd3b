/*
 * The guest agent's protocol, version 1: numbers only. docs/agent-protocol.md has the meaning; the host's copy is
 * packages/engine/src/vms/agent/protocol.ts, and a test compares the two.
 */
#ifndef SKERRY_PROTOCOL_H
#define SKERRY_PROTOCOL_H

#define PROTOCOL_NEWEST 1
#define PROTOCOL_OLDEST 1

/* Has no zero byte and is no UTF-8, so it can't arise from headers (each starts with 0), strings or their seams. */
#define MAGIC "\xf5SKERRY-AGENT/1\xfe"
#define MAGIC_BYTES 16
#define NONCE_BYTES 8

/* A frame is u32 length of the rest, u8 type, u32 stream, body, a zero byte; integers are big-endian. */
#define FRAME_MAX 65536
#define FRAME_OVERHEAD 6
#define WINDOW_BYTES 262144
#define MAX_STREAMS 256

enum frame_type {
  FRAME_HELLO = 1,
  FRAME_OPEN = 2,
  FRAME_DATA = 3,
  FRAME_CREDIT = 4,
  FRAME_EOF = 5,
  FRAME_CLOSE = 6,
  FRAME_RESET = 7,
  FRAME_NOTIFY = 8,
  FRAME_CONTROL = 9,
};

enum op {
  OP_IDENTIFY = 1,
  OP_EXEC = 2,
  OP_PUT = 3,
  OP_GET = 4,
  OP_STAT = 5,
  OP_LIST = 6,
  OP_MOUNT = 7,
  OP_UNMOUNT = 8,
  OP_STATS = 9,
  OP_FORWARD = 10,
  OP_SERVICE = 11,
  OP_POWER = 12,
  OP_FREEZE = 13,
  OP_THAW = 14,
  OP_ROOT = 15,
  OP_LINK = 20,
  OP_NICS = 21,
  OP_FAULT = 22,
};

enum fault_action {
  FAULT_BEGIN = 1,
  FAULT_END = 2,
  FAULT_STATUS = 3,
};

enum fault_kind {
  FAULT_CRASH = 1,
  FAULT_CPU = 2,
  FAULT_MEMORY = 3,
  FAULT_CLOCK = 4,
};

enum control {
  CONTROL_RESIZE = 1,
  CONTROL_SIGNAL = 2,
  CONTROL_CONNECTED = 3,
};

enum notify {
  NOTIFY_POWEROFF = 1,
  NOTIFY_REBOOT = 2,
  NOTIFY_SERVICE_EXIT = 3,
  NOTIFY_PROTOCOL_ERROR = 4,
};

enum service_action {
  SERVICE_SET = 1,
  SERVICE_STATUS = 2,
  SERVICE_STOP = 3,
};

enum service_state {
  SERVICE_NONE = 0,
  SERVICE_RUNNING = 1,
  SERVICE_EXITED = 2,
};

/* Spare NICs have these five bytes and their number until they are somebody's. */
#define SPARE_MAC "\x52\x54\x00\x00\x01"
#define SPARE_MAC_BYTES 5

enum nic_state {
  NIC_UP = 0,
  NIC_SPARE = 1,
};

enum restart {
  RESTART_NEVER = 0,
  RESTART_ON_FAILURE = 1,
  RESTART_ALWAYS = 2,
};

enum file_type {
  FILE_REGULAR = 0,
  FILE_DIRECTORY = 1,
  FILE_SYMLINK = 2,
  FILE_OTHER = 3,
};

enum tag {
  TAG_PROTOCOL = 1,
  TAG_OLDEST = 2,
  TAG_VERSION = 3,
  TAG_BOOT_NONCE = 4,
  TAG_KERNEL = 5,
  TAG_STARTED_US = 6,
  TAG_READY_US = 7,
  TAG_FROZEN = 8,
  TAG_ERRNO = 16,
  TAG_ERROR = 17,
  TAG_SEED = 32,
  TAG_UNIX_TIME_NS = 33,
  TAG_HOSTNAME = 34,
  TAG_MACHINE_ID = 35,
  TAG_ENV = 36,
  TAG_NIC = 37,
  TAG_RESOLV_CONF = 38,
  TAG_HOSTS = 39,
  TAG_MAC = 40,
  TAG_CURRENT_MAC = 41,
  TAG_ADDRESS = 42,
  TAG_GATEWAY = 43,
  TAG_MTU = 44,
  TAG_ROOT = 45,
  TAG_GENERATION = 46,
  TAG_BOOT_ID = 47,
  TAG_FRESH_KEYS = 48,
  TAG_ROUTE = 49,
  TAG_ROUTER = 50,
  TAG_ARG = 64,
  TAG_CWD = 65,
  TAG_USER = 66,
  TAG_COLS = 67,
  TAG_ROWS = 68,
  TAG_TIMEOUT_MS = 69,
  TAG_STDIN = 70,
  TAG_EXIT_CODE = 71,
  TAG_SIGNAL = 72,
  TAG_SOCKET = 73,
  TAG_PATH = 96,
  TAG_MODE = 97,
  TAG_SIZE = 98,
  TAG_SHA256 = 99,
  TAG_BYTES = 100,
  TAG_ENTRY = 101,
  TAG_NAME = 102,
  TAG_TYPE = 103,
  TAG_MTIME_MS = 104,
  TAG_MAKE_PARENTS = 105,
  TAG_SOURCE = 112,
  TAG_TARGET = 113,
  TAG_FSTYPE = 114,
  TAG_OPTIONS = 115,
  TAG_HOST = 120,
  TAG_PORT = 121,
  TAG_ACTION = 128,
  TAG_RESTART = 129,
  TAG_STATE = 130,
  TAG_PID = 131,
  TAG_RESTARTS = 132,
  TAG_WILL_RESTART = 133,
  TAG_GRACE_MS = 136,
  TAG_MEMORY_TOTAL_KIB = 144,
  TAG_MEMORY_FREE_KIB = 145,
  TAG_MEMORY_AVAILABLE_KIB = 146,
  TAG_LOAD_MILLI = 147,
  TAG_UPTIME_MS = 148,
  TAG_DISK_TOTAL_KIB = 149,
  TAG_DISK_FREE_KIB = 150,
  TAG_PROCESSES = 151,
  TAG_CPU_BUSY_MS = 152,
  TAG_CPU_IDLE_MS = 153,
  TAG_KIND = 160,
  TAG_AMOUNT = 161,
};

#endif
