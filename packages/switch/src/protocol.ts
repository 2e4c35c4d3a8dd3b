import type { CaptureParams, CaptureState } from './capture/protocol.ts';
import type { PortImpairment, SegmentPartition, SwitchConfig, UdpForward } from './config.ts';
import type { DropReason } from './verdict.ts';
import type { SwitchErrorCode } from './error.ts';
import type { PerDirection } from './impair.ts';
import type { LineCounts } from './line.ts';

/**
 * The control socket: one JSON value a line. A request `{id, method, params}` is answered by `{id, result}` or
 * `{id, error}`, in the order of the requests; only captures, which wait for a disk, may be answered later.
 */
export interface SwitchMethods {
  /** Who answers. */
  ping: { params: undefined; result: SwitchIdentity };
  /** Replaces the whole desired state; connections whose socketPath stays are kept. Nothing is applied when it is invalid. */
  sync: { params: SwitchConfig; result: SwitchState };
  state: { params: undefined; result: SwitchState };
  stats: { params: undefined; result: SwitchStats };
  /** Addresses of DHCP ranges that guests have got. */
  leases: { params: undefined; result: SwitchLeases };
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
  /** What is on its way in these segments is lost: their guests become others. */
  drop: { params: { readonly segments: readonly string[] }; result: null };
  /** What was kept under a name, to be put on disk; it stays kept. Beyond 4 MiB frames are left out, as by a full queue. */
  kept: { params: { readonly keptAs: string }; result: KeptSegments };
  /** Keeps it again, to be injected within a minute. `invalid`: it is not what `kept` gives. */
  keep: { params: { readonly keptAs: string; readonly segments: KeptSegments }; result: null };
  /**
   * What a port's guest sends, before impairments, and what it gets, after them, as pcap. It goes on over syncs, and ends
   * with its port. `invalid`: no such port, the name runs already; `failed`: the file or socket.
   */
  'capture.start': { params: CaptureParams; result: CaptureState };
  /** What was taken is written, within 2 seconds, and then the file or connection is closed. `invalid`: no such one, as
   * when its reader has hung up. */
  'capture.stop': { params: { readonly name: string }; result: CaptureState };
  'capture.list': { params: undefined; result: { readonly captures: readonly CaptureState[] } };
  /** Ends the process, after the answer. */
  shutdown: { params: undefined; result: null };
}
export type SwitchMethod = keyof SwitchMethods;

/** Segment -> MAC of the port, as a number -> frames with their lengths, in base64. */
export type KeptSegments = Readonly<Record<string, Readonly<Record<string, KeptFrames>>>>;

/** See `InFlight` in port.ts. */
export interface KeptFrames {
  readonly held: readonly string[];
  readonly out: readonly string[];
  readonly in: readonly string[];
}

export interface SwitchIdentity {
  readonly protocol: 1;
  readonly pid: number;
}

export interface SwitchState {
  readonly pid: number;
  readonly segments: readonly {
    readonly id: string;
    readonly ports: readonly {
      readonly id: string;
      readonly socketPath: string;
      readonly connected: boolean;
      /** Those that hold now; `untilMs` says until when. */
      readonly impairments: readonly PortImpairment[];
    }[];
    readonly egress?: { readonly socketPath: string; readonly connected: boolean };
    /** Absent: there are none. */
    readonly udpForwards?: readonly UdpForwardState[];
    /** Those that hold now. */
    readonly partitions: readonly SegmentPartition[];
  }[];
}

export interface UdpForwardState extends UdpForward {
  /** Why nothing listens there at the moment; it is tried again every two seconds. */
  readonly error?: string;
  readonly clients: number;
  /** Datagrams that did not get to the guest: too large for a frame, too many clients, no link. */
  readonly drops: number;
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
  /** What impairments and rates did to frames, and to how many, since the port is there. */
  readonly impaired: PerDirection<Readonly<LineCounts>>;
}

export interface SwitchLeases {
  /** Those that have a range. */
  readonly segments: readonly {
    readonly id: string;
    readonly leases: readonly { readonly mac: string; readonly address: string; readonly expiresAtMs: number }[];
  }[];
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
