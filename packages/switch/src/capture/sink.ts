/** Where a capture's records go. Calls come one after the other, each when the last has settled. */
export interface CaptureSink {
  /** In the file's generations now, or sent to the reader. */
  readonly keptBytes: number;
  /** Settles when the other side is gone; absent: there is none. */
  readonly gone?: Promise<void>;
  /** @param records whole ones; the buffer is the caller's again afterwards */
  write(records: Buffer): Promise<void>;
  close(): Promise<void>;
  /** Lets go without waiting for what is under way. */
  abandon(): void;
}
