import { fail, integer, object, socketPath, text } from '../config-checks.ts';
import { ETHERNET_HEADER_BYTES, MAX_FRAME_BYTES } from '../packets/ethernet.ts';
import type { CaptureParams } from './protocol.ts';

/** Two generations, each with room for the longest frame. */
const MIN_RING_BYTES = 256 * 1024;
const MAX_RING_BYTES = 2 ** 40;
const DEFAULT_RING_BYTES = 50 * 1024 * 1024;

interface Target {
  readonly portId: string;
  readonly name: string;
  readonly snapBytes: number;
}

export interface FileTarget extends Target {
  readonly path: string;
  readonly ringBytes: number;
}

export interface ReaderTarget extends Target {
  readonly socketPath: string;
}

/** @throws SwitchError `invalid` */
export function parseCaptureParams(value: unknown): FileTarget | ReaderTarget {
  const raw = object(value, 'params') as Record<keyof CaptureParams, unknown>;
  const common = {
    portId: text(raw.portId, 'portId'),
    name: text(raw.name, 'name'),
    snapBytes: integer(raw.snapBytes ?? MAX_FRAME_BYTES, ETHERNET_HEADER_BYTES, MAX_FRAME_BYTES, 'snapBytes'),
  };
  if ((raw.path === undefined) === (raw.socketPath === undefined)) fail('params', 'has not one of path and socketPath');
  if (raw.socketPath !== undefined) {
    if (raw.ringBytes !== undefined) fail('ringBytes', 'is for files: a reader keeps what it wants');
    return { ...common, socketPath: socketPath(raw.socketPath, 'socketPath') };
  }
  const ringBytes = integer(raw.ringBytes ?? DEFAULT_RING_BYTES, MIN_RING_BYTES, MAX_RING_BYTES, 'ringBytes');
  return { ...common, path: filePath(raw.path, 'path'), ringBytes };
}

export function parseCaptureName(value: unknown): string {
  return text(object(value, 'params')['name'], 'name');
}

function filePath(value: unknown, at: string): string {
  const path = text(value, at);
  return path.startsWith('/') && !path.includes('\0') ? path : fail(at, 'is not an absolute path');
}
