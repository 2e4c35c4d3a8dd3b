/* An old program: adds a booking to /var/lib/ledger/book at each connection, until somebody asks it to crash. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

long amount_of(long units);

int main(void) {
  int server = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7000)};
  if (bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 8) != 0) return 1;
  for (;;) {
    int client = accept(server, NULL, NULL);
    char line[64] = "";
    if (client < 0 || read(client, line, sizeof line - 1) <= 0) continue;
    if (strncmp(line, "crash", 5) == 0) abort();
    FILE *book = fopen("/var/lib/ledger/book", "a");
    if (book == NULL) return 1;
    fprintf(book, "%ld\n", amount_of(strtol(line, NULL, 10)));
    fclose(book);
    dprintf(client, "booked %ld\n", amount_of(strtol(line, NULL, 10)));
    close(client);
  }
}
