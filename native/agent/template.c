/*
 * What a machine does that becomes the template of others: all that is the same in each of them, once. Under emulation what
 * a clone does costs by the kernel's code that it touches first, about 1.5 us an instruction, whatever it works on.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "agent.h"

void template_prepare(void) {
  init_calm();
  identify_prepare();
  net_prepare();
  /* A little of each small size stays in use, so that the C library does not map and unmap memory for it (mallocng). */
  for (size_t size = 16; size <= 512; size += size < 128 ? 16 : 64) {
    void *volatile kept = malloc(size);
    (void)kept;
  }
  /* All of our memory is there, then: no clone takes a page fault for it. It stays so when the lock has gone. */
  if (mlockall(MCL_CURRENT) == 0) munlockall();
}
