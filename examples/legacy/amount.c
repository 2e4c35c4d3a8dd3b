/* An old library: version 1, whose source the vendor no longer has. Today's version 2 counts in cents. */
long amount_of(long units) {
  return units * 100;
}
