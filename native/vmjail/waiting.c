/*
 * `vmjail --wait`: started before there is anything to do, because a large launcher forks slowly (its page tables are copied).
 * The command line comes through stdin: "COUNT\0" and COUNT arguments, each ended by a NUL. End-of-file before the last one is
 * a launcher that has gone or has no use for us.
 */
#include "vmjail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_BYTES (256 * 1024)

/* The command line, once all of it is there; NULL: not yet. */
static char **split(char *text, size_t length) {
  char *end = memchr(text, '\0', length);
  if (end == NULL) return NULL;
  long wanted = strtol(text, NULL, 10);
  if (wanted < 1 || wanted > MAX_BYTES / 2) _exit(EXIT_USAGE);
  long found = 0;
  for (char *at = end + 1; at < text + length; at++) found += *at == '\0';
  if (found < wanted) return NULL;
  char **arguments = calloc((size_t)wanted + 2, sizeof *arguments);
  if (arguments == NULL) _exit(EXIT_SETUP);
  arguments[0] = "vmjail";
  char *at = end + 1;
  for (long i = 1; i <= wanted; i++, at += strlen(at) + 1) arguments[i] = at;
  return arguments;
}

/* Goes on as if it had been started with them: its command line says what it is for, to ps(1) and whoever looks for it. */
_Noreturn void wait_for_arguments(void) {
  char *text = malloc(MAX_BYTES);
  size_t length = 0;
  if (text == NULL) _exit(EXIT_SETUP);
  while (length < MAX_BYTES) {
    ssize_t got = read(STDIN_FILENO, text + length, MAX_BYTES - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(0);
    length += (size_t)got;
    char **arguments = split(text, length);
    if (arguments == NULL) continue;
    execv("/proc/self/exe", arguments); /* of the same build, should the file have been replaced */
    _exit(EXIT_SETUP);
  }
  _exit(EXIT_USAGE);
}
