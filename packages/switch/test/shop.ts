import { join } from 'node:path';
import type { Segment, SwitchConfig } from '../src/config.ts';
import { readIpv4 } from '../src/packets/ipv4.ts';
import { readUdp } from '../src/packets/udp.ts';
import { Guest, startSwitch, until } from './process.ts';
import { DB, segment, segmentPort, udp, WEB } from './support.ts';

/** A segment of the two guests web and db, with the real switch process. */

export function shop(directory: string, more: Partial<Segment> = {}): SwitchConfig {
  const ports = [
    segmentPort('web', WEB, { socketPath: join(directory, 'web') }),
    segmentPort('db', DB, { socketPath: join(directory, 'db') }),
  ];
  return { version: 1, segments: [segment({ egress: undefined, ports, ...more })] };
}

/** web, db, and the switch process between them; once synced it is connected to both. */
export async function shopOf(directory: string) {
  const undo = new AsyncDisposableStack();
  const guests = {
    web: undo.use(await Guest.listen(join(directory, 'web'))),
    db: undo.use(await Guest.listen(join(directory, 'db'))),
  };
  const target = undo.use(await startSwitch(directory));
  const sync = async (config: SwitchConfig) => {
    await target.client.call('sync', config);
    await until(async () => {
      const state = await target.client.call('state');
      return state.segments.every((s) => s.ports.every((p) => p.connected));
    });
  };
  return { ...guests, target, sync, [Symbol.asyncDispose]: () => undo.disposeAsync() };
}

export const payloadOf = (frame: Buffer) => readUdp(readIpv4(frame)!)!.payload;
export const numbered = (n: number) => udp(WEB, DB, { payload: Buffer.from(`${n}`) });
