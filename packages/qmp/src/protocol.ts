/**
 * What QEMU says on a QMP connection, one JSON object per line:
 * https://www.qemu.org/docs/master/interop/qmp-spec.html
 */

export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  /** The distribution's version, e.g. `Debian 1:7.2+dfsg-7`. */
  readonly package: string;
}

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: QmpVersion }
  | { readonly kind: 'return'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: { class: string; desc: string } }
  | { readonly kind: 'event'; readonly event: string; readonly data: unknown; readonly atMs: number };

/** @throws Error (plain: the caller closes the connection) when the line is nothing that QMP has */
export function parseMessage(line: string): QmpMessage {
  const message = object(parseJson(line), 'a message');
  if ('QMP' in message) return { kind: 'greeting', version: parseVersion(message['QMP']) };
  if ('event' in message) {
    const stamp = object(message['timestamp'], 'timestamp');
    return {
      kind: 'event',
      event: string(message['event'], 'event'),
      data: message['data'] ?? {},
      atMs:
        number(stamp['seconds'], 'seconds') * 1000 + Math.floor(number(stamp['microseconds'], 'microseconds') / 1000),
    };
  }
  if ('error' in message) {
    const error = object(message['error'], 'error');
    const parsed = { class: string(error['class'], 'class'), desc: string(error['desc'], 'desc') };
    // Without an id it answers no command: QEMU could not parse what it got.
    if (!('id' in message)) throw new Error(`QEMU did not understand us: ${parsed.desc}`);
    return { kind: 'error', id: number(message['id'], 'id'), error: parsed };
  }
  if ('return' in message) return { kind: 'return', id: number(message['id'], 'id'), value: message['return'] };
  throw new Error('neither greeting, answer nor event');
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new Error(`not JSON: ${line.slice(0, 80)}`, { cause: error });
  }
}

function parseVersion(value: unknown): QmpVersion {
  const version = object(object(value, 'QMP')['version'], 'version');
  const qemu = object(version['qemu'], 'version.qemu');
  return {
    major: number(qemu['major'], 'major'),
    minor: number(qemu['minor'], 'minor'),
    micro: number(qemu['micro'], 'micro'),
    package: string(version['package'], 'package'),
  };
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is not an object`);
  return value as Record<string, unknown>;
}

function string(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Error(`${what} is not a string`);
  return value;
}

function number(value: unknown, what: string): number {
  if (typeof value !== 'number') throw new Error(`${what} is not a number`);
  return value;
}
