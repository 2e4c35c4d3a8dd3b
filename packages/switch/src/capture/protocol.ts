/** What is asked and told about captures on the control socket. */

export interface CaptureParams {
  readonly portId: string;
  /** Unique among the captures that run. */
  readonly name: string;
  /** The file to make (0600); neither it nor `PATH.1` may be there. Either this or `socketPath`. */
  readonly path?: string | undefined;
  /** Where somebody listens: gets the same bytes as they come, and ends the capture by hanging up. */
  readonly socketPath?: string | undefined;
  /** The most that both generations of a file hold together, default 50 MiB. */
  readonly ringBytes?: number | undefined;
  /** How much of each frame is kept, default all of it. */
  readonly snapBytes?: number | undefined;
}

export interface CaptureState {
  readonly name: string;
  readonly portId: string;
  readonly path?: string | undefined;
  readonly socketPath?: string | undefined;
  readonly ringBytes?: number | undefined;
  readonly snapBytes: number;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  /** Written, whether they are still in the ring or not. */
  readonly frames: number;
  /** Of these frames on the wire, whatever was kept of each. */
  readonly bytes: number;
  /** Frames that found no room because the disk or the reader is too slow, or that were lost with it. */
  readonly drops: number;
  /** In the file's generations now, or sent to the reader. */
  readonly keptBytes: number;
  /** Why a file is written no more; it stays in the list until it is stopped. */
  readonly error?: string | undefined;
}
