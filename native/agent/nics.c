/* nics: some NICs of a machine that knows who it is get another network, or none. */
#include <string.h>

#include "agent.h"

static int apply(struct tlvs *values, const char **step) {
  struct nic nics[MAX_NICS] = {0};
  size_t count = 0;
  struct tlvs names = *values;
  struct tlv v;
  *step = "a NIC's values";
  while (tlv_next(values, &v)) {
    if (v.tag != TAG_NIC) continue;
    if (count == MAX_NICS || !nic_take(&nics[count], &v) || !nics[count].has_mac) return EINVAL;
    count++;
  }
  if (values->bad) return EBADMSG;
  int error = count == 0 ? 0 : net_change(nics, count, step);
  while (error == 0 && tlv_next(&names, &v)) {
    if (v.tag == TAG_RESOLV_CONF) {
      *step = "/etc/resolv.conf";
      error = name_set(NAME_RESOLV_CONF, &v, "");
    } else if (v.tag == TAG_HOSTS) {
      *step = "/etc/hosts";
      error = name_set(NAME_HOSTS, &v, "");
    }
  }
  return error;
}

void op_nics(uint32_t id, struct tlvs *values) {
  const char *step = "";
  int error = apply(values, &step);
  if (error != 0) reply_fail(id, error, "%s: %s", step, strerror(error));
  else reply_close(id, NULL);
}
