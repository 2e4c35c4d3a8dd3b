import type { SwitchConfig } from './config.ts';
import type { DropReason } from './decide.ts';
import type { SwitchErrorCode } from './error.ts';

/**
 * The control socket: one JSON value a line. A request `{id, method, params}` is answered by `{id, result}` or
 * `{id, error}`, in the order of the requests.
 */
export interface SwitchMethods {
  /** Who answers. */
  ping: { params: undefined; result: SwitchIdentity };
  /** Replaces the whole desired state; connections whose socketPath stays are kept. Nothing is applied when it is invalid. */
  sync: { params: SwitchConfig; result: SwitchState };
  state: { params: undefined; result: SwitchState };
  stats: { params: undefined; result: SwitchStats };
  /** Ports of these segments take in nothing more; by itself for 15 seconds at most. */
  hold: { params: { readonly segments: readonly string[] }; result: null };
  /** Their guests stand still: what they had sent is taken in, and kept. */
  gather: { params: { readonly segments: readonly string[] }; result: null };
  /** All goes on, beginning with what was kept; with `keepAs` a copy of it can be injected elsewhere within a minute. */
  release: {
    params: { readonly segments: readonly string[]; readonly keepAs?: string | undefined };
    result: { readonly frames: number };
  };
  /** `segments`: from the segment that was cut to the one that gets the copy, whose guests have the same MACs. */
  inject: {
    params: { readonly keptAs: string; readonly segments: Readonly<Record<string, string>> };
    result: { readonly frames: number };
  };
  /** Ends the process, after the answer. */
  shutdown: { params: undefined; result: null };
}
export type SwitchMethod = keyof SwitchMethods;

export interface SwitchIdentity {
  readonly protocol: 1;
  readonly pid: number;
}

export interface SwitchState {
  readonly pid: number;
  readonly segments: readonly {
    readonly id: string;
    readonly ports: readonly { readonly id: string; readonly socketPath: string; readonly connected: boolean }[];
    readonly egress?: { readonly socketPath: string; readonly connected: boolean };
  }[];
}

export interface PortStats {
  readonly id: string;
  readonly connected: boolean;
  /** From the guest, whatever became of them. */
  readonly receivedFrames: number;
  readonly receivedBytes: number;
  /** To the guest. */
  readonly sentFrames: number;
  readonly sentBytes: number;
  /** To the guest, dropped because it does not read fast enough. */
  readonly queueDrops: number;
  /** To the guest, dropped because nothing is connected. */
  readonly unconnectedDrops: number;
  /** From the guest, not let through: reason -> frames. */
  readonly drops: Partial<Record<DropReason, number>>;
}

export interface SwitchStats {
  readonly uptimeMs: number;
  readonly segments: readonly {
    readonly id: string;
    readonly ports: readonly PortStats[];
    readonly egress?: PortStats;
  }[];
}

export interface ControlRequest {
  readonly id: number;
  readonly method: string;
  readonly params?: unknown;
}

export interface ControlResponse {
  readonly id: number | null;
  readonly result?: unknown;
  readonly error?: { readonly code: SwitchErrorCode; readonly message: string };
}

/** A sync of a thousand ports is 300 KiB. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;
