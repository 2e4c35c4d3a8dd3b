/* What vmjail says: one JSON line on its stdout. A failure takes back what this run made, then exits. */
#include "vmjail.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Length of the well-formed UTF-8 sequence at TEXT (RFC 3629), or 0. */
static size_t utf8_length(const unsigned char *text, size_t left) {
  unsigned char first = text[0];
  size_t length = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  for (size_t i = 1; i < length; i++)
    if ((text[i] & 0xc0) != 0x80) return 0;
  bool overlong = (first == 0xe0 && text[1] < 0xa0) || (first == 0xf0 && text[1] < 0x90);
  bool outside = (first == 0xed && text[1] > 0x9f) || (first == 0xf4 && text[1] > 0x8f);
  return overlong || outside ? 0 : length;
}

/* TEXT as a JSON string; bytes that are not UTF-8 become U+FFFD, so that a reader's parser never fails on them. */
void json_string(FILE *out, const char *text, size_t length) {
  const unsigned char *bytes = (const unsigned char *)text;
  fputc('"', out);
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = bytes[i];
    if (byte == '"' || byte == '\\') fprintf(out, "\\%c", byte);
    else if (byte == '\n') fputs("\\n", out);
    else if (byte < 0x20 || byte == 0x7f) fprintf(out, "\\u%04x", byte);
    else if (byte < 0x80) fputc(byte, out);
    else {
      size_t sequence = utf8_length(bytes + i, length - i);
      if (sequence == 0) fputs("\\ufffd", out);
      else {
        fwrite(bytes + i, 1, sequence, out);
        i += sequence - 1;
      }
    }
  }
  fputc('"', out);
}

void warn(struct jail *jail, const char *format, ...) {
  if (jail->warning_count == MAX_WARNINGS) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(jail->warnings[jail->warning_count++], sizeof jail->warnings[0], format, arguments);
  va_end(arguments);
}

_Noreturn void fail(struct jail *jail, const char *step, int error, const char *format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (jail->child > 0) {
    kill(jail->child, SIGKILL);
    while (waitpid(jail->child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  end_servers(jail);
  remove_sockets(jail, true);
  remove_cgroup(jail);
  remove_state_files(jail);
  printf("{\"error\":");
  json_string(stdout, message, strlen(message));
  printf(",\"reason\":");
  json_string(stdout, strerror(error), strlen(strerror(error)));
  printf(",\"errno\":%d,\"step\":\"%s\"}\n", error, step);
  fflush(stdout);
  bool locked = strcmp(step, "lock") == 0 && error == EWOULDBLOCK;
  _exit(strcmp(step, "usage") == 0 ? EXIT_USAGE : locked ? EXIT_LOCKED : EXIT_SETUP);
}
