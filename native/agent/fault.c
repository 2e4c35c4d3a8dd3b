/*
 * fault: what is made to go wrong in this guest on purpose. Each has an end of its own here, by the monotonic clock, so that
 * it ends also when no host is there to end it. One of a kind at a time; the same kind again replaces it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MAX_BURNERS 64
/* Of a share of a CPU: busy for a part of it. No multiple of the kernel's ticks, which would always find it busy, or never. */
#define PERIOD_NS 73000000
#define STEP_KIB 1024
#define STEP_WAIT_MS 20
/* What the kernel is left with: without it the guest stands still instead of being short of memory. */
#define RESERVE_KIB (8 * 1024)

struct fault {
  bool active;
  int64_t amount;
  struct timer end;
};

static struct fault cpu, memory, wall_clock;
static pid_t burners[MAX_BURNERS], hog;
static struct timespec real_before, boot_before;

static int64_t in_ns(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static int64_t clock_ns(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return in_ns(t);
}

static int set_wall_clock(int64_t ns) {
  struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
  return clock_settime(CLOCK_REALTIME, &t) < 0 ? errno : 0;
}

/*
 * A child of ours alone: it holds nothing of the agent, which would miss the host's going away. The OOM killer never takes
 * it: that would end the fault, which is there to press others.
 */
static pid_t fork_worker(void) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  write_existing("/proc/self/oom_score_adj", "-1000");
  for (int fd = 0; fd < 1024; fd++) close(fd);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "skerry-fault");
  return 0;
}

static void end_worker(pid_t *pid) {
  if (*pid <= 0) return;
  kill(*pid, SIGKILL);
  /* It is one of ours and dies at once: the loop's reaping must not take its pid for a command's. */
  while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) continue;
  *pid = 0;
}

/* --- cpu: AMOUNT thousandths of one CPU */
static _Noreturn void burn(int64_t milli) {
  int64_t period = clock_ns(CLOCK_MONOTONIC);
  for (;;) {
    int64_t busy_until = period + PERIOD_NS * milli / 1000;
    while (clock_ns(CLOCK_MONOTONIC) < busy_until) continue;
    period += PERIOD_NS;
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    /* Who was kept from the CPU does not catch up. */
    if (period < now) period = now;
    struct timespec until = {.tv_sec = period / 1000000000, .tv_nsec = period % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
}

static void end_cpu(void) {
  for (int i = 0; i < MAX_BURNERS; i++) end_worker(&burners[i]);
}

static int begin_cpu(int64_t milli) {
  if (milli < 1 || milli > MAX_BURNERS * 1000) return EINVAL;
  for (int i = 0; i < MAX_BURNERS && milli > 0; i++, milli -= 1000) {
    burners[i] = fork_worker();
    if (burners[i] == 0) burn(milli > 1000 ? 1000 : milli);
    if (burners[i] < 0) return errno;
  }
  return 0;
}

/* --- memory: AMOUNT KiB, as far as there are so many */
static int64_t available_kib(int meminfo) {
  char text[2048];
  ssize_t n = pread(meminfo, text, sizeof(text) - 1, 0);
  text[n > 0 ? n : 0] = 0;
  const char *at = strstr(text, "MemAvailable:");
  return at == NULL ? 0 : strtoll(at + 13, NULL, 10);
}

static _Noreturn void press(int64_t kib, int meminfo) {
  uint8_t *at = mmap(NULL, (size_t)kib * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (int64_t taken = 0; at != MAP_FAILED;) {
    int64_t step = kib - taken < STEP_KIB ? kib - taken : STEP_KIB;
    if (step > 0 && available_kib(meminfo) > RESERVE_KIB + step) {
      uint8_t *from = at + taken * 1024;
      for (int64_t i = 0; i < step * 1024; i += 4096) from[i] = 1;
      mlock(from, (size_t)step * 1024); /* a guest may have swap */
      taken += step;
      continue;
    }
    /* All of it, or all that can be had: what becomes free is taken, too. */
    struct timespec wait = {.tv_sec = step == 0 ? 3600 : 0, .tv_nsec = STEP_WAIT_MS * 1000000};
    nanosleep(&wait, NULL);
  }
  for (;;) pause();
}

static int begin_memory(int64_t kib) {
  if (kib < 1) return EINVAL;
  hog = fork_worker();
  if (hog == 0) press(kib, open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
  return hog < 0 ? errno : 0;
}

static int64_t pressed_kib(void) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/statm", (int)hog);
  char *text = hog > 0 ? read_file(path, 4096, NULL) : NULL, *at = text;
  int64_t pages = 0;
  if (at != NULL) strtoll(at, &at, 10), pages = strtoll(at, NULL, 10);
  free(text);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* --- clock: AMOUNT milliseconds, or, as two's complement, so many back */
static int begin_clock(int64_t ms) {
  clock_gettime(CLOCK_REALTIME, &real_before);
  clock_gettime(CLOCK_BOOTTIME, &boot_before);
  int64_t ns = in_ns(real_before) + ms * 1000000;
  return ms == 0 || ns < 0 ? EINVAL : set_wall_clock(ns);
}

/* As it would be without: whatever was done to it meanwhile, only the time that has passed counts. */
static void end_clock(void) { set_wall_clock(in_ns(real_before) + clock_ns(CLOCK_BOOTTIME) - in_ns(boot_before)); }

/* --- all of them */
static void end(struct fault *fault) {
  if (!fault->active) return;
  fault->active = false;
  timer_clear(&fault->end);
  if (fault == &cpu) end_cpu();
  else if (fault == &memory) end_worker(&hog);
  else end_clock();
}

static void time_over(struct timer *t) { end(container_of(t, struct fault, end)); }

static void begin(uint32_t id, struct fault *fault, int64_t amount, uint64_t for_ms) {
  end(fault);
  fault->active = true;
  fault->amount = amount;
  int error = fault == &cpu ? begin_cpu(amount) : fault == &memory ? begin_memory(amount) : begin_clock(amount);
  if (error != 0) {
    if (fault == &wall_clock) fault->active = false; /* it was not set, so it is not set back */
    end(fault);
    reply_fail(id, error, "the fault could not be made: %s", strerror(error));
    return;
  }
  if (for_ms > 0) timer_set(&fault->end, for_ms > INT32_MAX ? INT32_MAX : (int64_t)for_ms, time_over);
  reply_close(id, NULL);
}

static void tell(uint32_t id, struct fault *fault) {
  struct bytes result = {0};
  bytes_u32(&result, TAG_STATE, fault->active);
  bytes_u64(&result, TAG_AMOUNT, (uint64_t)(fault == &memory ? pressed_kib() : fault->active ? fault->amount : 0));
  reply_close(id, &result);
  bytes_free(&result);
}

/* The kernel does not go on without its first process: "Attempted to kill init!". */
static void crash(uint32_t id) {
  if (!is_init) {
    reply_fail(id, EOPNOTSUPP, "this agent is not the guest's init");
    return;
  }
  reply_close(id, NULL);
  session_drain(500);
  _exit(1);
}

void op_fault(uint32_t id, struct tlvs *values) {
  uint64_t action = 0, kind = 0, amount = 0, for_ms = 0;
  struct tlv v;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_ACTION) action = tlv_number(&v);
    else if (v.tag == TAG_KIND) kind = tlv_number(&v);
    else if (v.tag == TAG_AMOUNT) amount = tlv_number(&v);
    else if (v.tag == TAG_TIMEOUT_MS) for_ms = tlv_number(&v);
  }
  struct fault *fault = kind == FAULT_CPU      ? &cpu
                        : kind == FAULT_MEMORY ? &memory
                        : kind == FAULT_CLOCK  ? &wall_clock
                                               : NULL;
  if (kind == FAULT_CRASH && action == FAULT_BEGIN) crash(id);
  else if (fault == NULL) reply_fail(id, EINVAL, "no such fault");
  else if (action == FAULT_BEGIN) begin(id, fault, (int64_t)amount, for_ms);
  else if (action == FAULT_STATUS) tell(id, fault);
  else if (action == FAULT_END) {
    end(fault);
    reply_close(id, NULL);
  } else reply_fail(id, EINVAL, "no action for the fault");
}

void faults_end(void) {
  end(&cpu);
  end(&memory);
  end(&wall_clock);
}

bool fault_reaped(pid_t pid) {
  if (pid == hog) return hog = 0, true;
  for (int i = 0; i < MAX_BURNERS; i++)
    if (pid == burners[i]) return burners[i] = 0, true;
  return false;
}
