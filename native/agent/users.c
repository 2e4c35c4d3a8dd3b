/* /etc/passwd and /etc/group by hand: the C library's readers would pull in NSS, which a static program can't have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

#define MAX_FIELDS 8
#define MAX_FILE (4 * 1024 * 1024)

/* Cuts the line at *at into fields; 0 at the end of the text. */
static size_t next_line(char **at, char *fields[MAX_FIELDS]) {
  char *line = *at;
  if (line == NULL || *line == 0) return 0;
  char *end = strchr(line, '\n');
  *at = end == NULL ? NULL : end + 1;
  if (end != NULL) *end = 0;
  size_t count = 0;
  while (count < MAX_FIELDS) {
    fields[count++] = line;
    line = strchr(line, ':');
    if (line == NULL) break;
    *line++ = 0;
  }
  return count;
}

static bool number(const char *text, uint32_t *value) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  unsigned long long n = strtoull(text, &end, 10);
  if (*end != 0 || n >= UINT32_MAX) return false;
  *value = (uint32_t)n;
  return true;
}

static bool is_member(const char *list, const char *name) {
  size_t len = strlen(name);
  for (const char *at = list; at != NULL && len > 0; at = strchr(at, ',')) {
    if (*at == ',') at++;
    if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == 0)) return true;
  }
  return false;
}

static bool find_passwd(const char *name, struct user *user) {
  char *text = read_file("/etc/passwd", MAX_FILE, NULL), *at = text, *fields[MAX_FIELDS];
  uint32_t uid = 0, wanted = 0;
  bool by_number = number(name, &wanted), found = false;
  size_t count;
  while (!found && (count = next_line(&at, fields)) > 0) {
    if (count < 7 || !number(fields[2], &uid) || !number(fields[3], &user->gid)) continue;
    found = by_number ? uid == wanted : strcmp(fields[0], name) == 0;
    if (!found) continue;
    user->uid = uid;
    snprintf(user->name, sizeof(user->name), "%s", fields[0]);
    snprintf(user->home, sizeof(user->home), "%s", fields[5]);
    snprintf(user->shell, sizeof(user->shell), "%s", fields[6]);
  }
  free(text);
  if (found || !by_number) return found;
  user->uid = wanted;
  user->gid = 0;
  snprintf(user->name, sizeof(user->name), "%s", name);
  snprintf(user->home, sizeof(user->home), "/");
  return true;
}

static bool find_groups(const char *wanted, struct user *user) {
  char *text = read_file("/etc/group", MAX_FILE, NULL), *at = text, *fields[MAX_FIELDS];
  size_t count;
  uint32_t gid;
  bool found = wanted == NULL || number(wanted, &user->gid);
  while ((count = next_line(&at, fields)) > 0) {
    if (count < 3 || !number(fields[2], &gid)) continue;
    if (wanted != NULL && strcmp(fields[0], wanted) == 0) {
      user->gid = gid;
      found = true;
    }
    if (count >= 4 && is_member(fields[3], user->name) && user->group_count < 64) {
      user->groups[user->group_count++] = gid;
    }
  }
  free(text);
  return found;
}

/* NAME, UID, NAME:GROUP or UID:GID. */
int user_find(const char *spec, struct user *user) {
  char name[64];
  const char *colon = strchr(spec, ':');
  size_t len = colon == NULL ? strlen(spec) : (size_t)(colon - spec);
  *user = (struct user){0};
  if (len == 0 || len >= sizeof(name)) return EINVAL;
  memcpy(name, spec, len);
  name[len] = 0;
  if (!find_passwd(name, user)) return ENOENT;
  if (!find_groups(colon == NULL ? NULL : colon + 1, user)) return ENOENT;
  return 0;
}
