import type { Network } from '@skerry/api';

/** Who copies frames of NICs: each datapath in its own way, into files that are the same. */

export interface CapturedNic {
  readonly vmId: string;
  readonly index: number;
  readonly network: Pick<Network, 'id' | 'spec'>;
}

/** A ring of two generations, PATH and the older PATH.1, or somebody who listens. */
export type CaptureSinkPath =
  | { readonly path: string; readonly ringBytes: number }
  | { readonly socketPath: string; readonly name: string };

export interface RunningCapture {
  readonly ringBytes?: number | undefined;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly keptBytes: number;
  readonly frames: number;
  readonly bytes: number;
  readonly drops: number;
  /** Why nothing is written any more; it is in the list until it is stopped. */
  readonly error?: string | undefined;
}

export interface CapturePort {
  /** Those into files, by `captureName` of their NIC. */
  running(): Promise<ReadonlyMap<string, RunningCapture>>;
  /** Resolves once frames are copied. @throws SkerryError `failed` */
  start(nic: CapturedNic, sink: CaptureSinkPath): Promise<void>;
  /** All that was copied is written then. */
  stop(nic: Pick<CapturedNic, 'vmId' | 'index'>): Promise<void>;
}

export function captureName({ vmId, index }: Pick<CapturedNic, 'vmId' | 'index'>): string {
  return `${vmId}/eth${index}`;
}
