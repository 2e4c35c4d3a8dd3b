/* What a process that works in a shared directory may not ask of the kernel there, or asks in vain. */
#include "vmjail.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NR_FCHMODAT2 452 /* asm-generic/unistd.h */

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* The low half of an argument: both architectures are little-endian. */
#define ARGUMENT(n) (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n))
#define NO_SET_ID(number, n) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 4), LOAD(ARGUMENT(n)), \
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, S_ISUID | S_ISGID, 0, 1), REFUSE(EPERM), ALLOW

#define PRETEND(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), REFUSE(0)

#define BEGIN \
  LOAD(offsetof(struct seccomp_data, arch)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0), REFUSE(ENOSYS), \
    LOAD(offsetof(struct seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1), REFUSE(ENOSYS), /* x32 */ \
    /* its mode is in memory, where no filter looks */ \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR_OPENAT2, 0, 1), REFUSE(ENOSYS)

#ifdef SYS_chmod
#define OLD_CALLS NO_SET_ID(SYS_chmod, 1), NO_SET_ID(SYS_open, 2), NO_SET_ID(SYS_creat, 1), NO_SET_ID(SYS_mknod, 1),
#define OLD_OWNER_CALLS PRETEND(SYS_chown), PRETEND(SYS_lchown),
#else
#define OLD_CALLS
#define OLD_OWNER_CALLS
#endif

#define NO_SET_IDS \
  OLD_CALLS NO_SET_ID(SYS_fchmod, 1), NO_SET_ID(SYS_fchmodat, 2), NO_SET_ID(NR_FCHMODAT2, 2), NO_SET_ID(SYS_openat, 3), \
    NO_SET_ID(SYS_mknodat, 2), ALLOW

static bool filter_calls(struct sock_filter *filter, size_t count) {
  struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/*
 * What a guest makes belongs to somebody of the host: a program with a set-id bit would run with his rights, for whoever is
 * here and in league with the guest.
 */
bool forbid_set_id(void) {
#ifdef OUR_ARCH
  struct sock_filter filter[] = {BEGIN, NO_SET_IDS};
  return filter_calls(filter, sizeof filter / sizeof filter[0]);
#else
  return true;
#endif
}

/*
 * And as with 9p's security_model=none: the guest's users are all one on the host, and a change of owner is none. virtiofsd
 * takes each caller's user on (lo_change_cred in passthrough_ll.c), which it could not, for there is but one in its namespace.
 */
bool forbid_set_id_and_owners(void) {
#ifdef OUR_ARCH
  struct sock_filter filter[] = {
    BEGIN,
    OLD_OWNER_CALLS PRETEND(SYS_fchown), PRETEND(SYS_fchownat), PRETEND(SYS_setresuid), PRETEND(SYS_setresgid),
    PRETEND(SYS_setgroups),
    NO_SET_IDS,
  };
  return filter_calls(filter, sizeof filter / sizeof filter[0]);
#else
  errno = ENOSYS;
  return false;
#endif
}
