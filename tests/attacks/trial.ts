import { setTimeout as sleep } from 'node:timers/promises';
import type { Attack, Cast } from '../../packages/switch/test/attacks.ts';
import { icmp } from '../../packages/switch/test/frames.ts';
import { udp } from '../../packages/switch/test/support.ts';
import { describe, isAnswer, isChatter, isForGroup, isSame, isSentOn } from './judge.ts';
import type { Station } from './station.ts';

/** One attack between VMs that run, and what it proves: three times nothing but what may be. */

/** What is still on its way when the marks have come. */
const SETTLE_MS = 40;
/** What comes of nobody's doing is there once, an escape again and again. */
const TRIES = 3;
/** What has to come may need neighbours' addresses first, or be limited to some a second. */
const CONTROL_TRIES = 4;
const CONTROL_TIMEOUT_MS = 1500;

export interface Stage {
  readonly cast: Cast;
  /** Of Eve and the victim on the network that is attacked. */
  readonly nic: string;
  /** Of both, at the wire between them: nothing that is sent into it is looked at. */
  readonly wire: string;
  readonly eve: Station;
  readonly victim: Station;
  /** All others that may hear something: other guests, and the world. */
  readonly others: readonly Station[];
  /** One of the others, if there is a world. */
  readonly world: Station | undefined;
  /** Those of the others that nothing of the network may come to. */
  readonly walls: readonly string[];
  readonly isBridge: boolean;
}

let marks = 0;

/** @returns what is wrong; none: it got nowhere, and would have */
export async function tryAttack(stage: Stage, attack: Attack): Promise<string[]> {
  const escapes = await escapesOf(stage, attack.frames);
  const problems = escapes.map((each) => `ESCAPE: ${each}`);
  if (!(await passesWire(stage, attack.frames))) problems.push('its frames do not even leave the attacker');
  const control = await tryControl(stage, attack);
  if (control !== undefined) problems.push(`control: ${control}`);
  return problems;
}

async function escapesOf(stage: Stage, frames: readonly Buffer[]): Promise<string[]> {
  let found: string[] = [];
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    found = await attackOnce(stage, frames);
    if (found.length === 0) return [];
  }
  return found;
}

async function attackOnce(stage: Stage, frames: readonly Buffer[]): Promise<string[]> {
  const { eve, victim, others, nic } = stage;
  const all = [eve, victim, ...others];
  for (const each of all) each.forget();
  eve.send(nic, frames);
  const isMark = await mark(stage);
  await sleep(SETTLE_MS);
  const vms = new Set(
    [stage.cast.eve, stage.cast.victim, stage.cast.friend, stage.cast.walled].map(({ mac }) => bare(mac)),
  );
  return all.flatMap((station) =>
    station.heard
      .filter(({ nic: at, frame }) => {
        if (station === eve && at !== nic) return false;
        if (station !== eve && frames.some((sent) => isSame(frame, sent))) return !isStray(stage, station, frame);
        if (isMark(frame)) return false;
        return station === eve ? isAnswer(frame, vms) : !isChatter(frame);
      })
      .map(
        ({ nic: at, frame }) => `${station === eve ? 'answered' : 'at'} ${station.name} (${at}): ${describe(frame)}`,
      ),
  );
}

/** A bridge of the kernel hands all of its network what is for nobody that it knows: that is heard, and for none of them. */
function isStray({ cast, isBridge, walls }: Stage, station: Station, frame: Buffer): boolean {
  const isForOne = [cast.victim, cast.friend].some(({ mac }) => bare(mac) === frame.toString('hex', 0, 6));
  return isBridge && !walls.includes(station.name) && !isForOne && !isForGroup(frame);
}

/** Waits until what was sent after it has come, at the victim and back from the gateway. @returns what knows it again */
async function mark({ cast, eve, victim, nic }: Stage): Promise<(frame: Buffer) => boolean> {
  const text = `mark ${(marks += 1)}`;
  const id = 0x4000 + (marks % 0x4000);
  const honest = udp(cast.eve, cast.victim, { payload: Buffer.from(text) });
  const question = icmp(cast.eve, cast.gateway, 8, id);
  const isReply = (frame: Buffer): boolean => frame[23] === 1 && frame[34] === 0 && frame.readUInt16BE(38) === id;
  const isOurs = (frame: Buffer): boolean => isSame(frame, honest);
  eve.send(nic, [honest, question]);
  const came = await Promise.all([
    victim.until((heard) => heard.some(({ frame }) => isOurs(frame))),
    eve.until((heard) => heard.some(({ frame }) => isReply(frame))),
  ]);
  if (came.includes(false)) throw new Error(`nothing passes any more: victim ${came[0]}, gateway ${came[1]}`);
  // Nobody listens at that port of the victim, and its machine says so.
  return (frame) =>
    isOurs(frame) ||
    isSame(frame, question) ||
    isReply(frame) ||
    (frame[23] === 1 && frame[34] === 3 && frame[35] === 3);
}

/** @returns whether they arrive where nothing is forbidden */
async function passesWire({ eve, victim, wire }: Stage, frames: readonly Buffer[]): Promise<boolean> {
  victim.forget();
  eve.send(wire, frames);
  return victim.until((heard) =>
    frames.every((sent) => heard.some(({ nic, frame }) => nic === wire && isSame(frame, sent))),
  );
}

/** @returns what of it does not arrive, or arrives where it must not */
async function tryControl(stage: Stage, { control, reaches }: Attack): Promise<string | undefined> {
  const { cast, eve, victim, world, others, nic, walls } = stage;
  const vms = new Set([cast.eve.mac, cast.victim.mac, cast.friend.mac, cast.walled.mac].map((mac) => bare(mac)));
  for (let attempt = 0; attempt < CONTROL_TRIES; attempt += 1) {
    for (const each of [eve, victim, ...others]) each.forget();
    eve.send(nic, control);
    const arrives = {
      victim: () =>
        victim.until(
          (heard) => control.every((sent) => heard.some(({ frame }) => isSame(frame, sent))),
          CONTROL_TIMEOUT_MS,
        ),
      outside: () =>
        world?.until(
          (heard) => control.every((sent) => heard.some(({ frame }) => isSentOn(frame, sent, cast))),
          CONTROL_TIMEOUT_MS,
        ) ?? Promise.resolve(true),
      answer: () =>
        eve.until(
          (heard) => heard.some(({ nic: at, frame }) => at === nic && isAnswer(frame, vms)),
          CONTROL_TIMEOUT_MS,
        ),
    };
    if (!(await arrives[reaches]())) continue;
    for (const other of others) {
      const heard = other.heard.find(({ frame }) => control.some((sent) => isSame(frame, sent)));
      const mayHear = heard === undefined || (isForGroup(heard.frame) && !walls.includes(other.name));
      if (!mayHear) return `it is heard at ${other.name}: ${describe(heard.frame)}`;
    }
    return undefined;
  }
  return `it does not reach ${reaches === 'answer' ? 'the gateway' : `the ${reaches}`}`;
}

function bare(mac: string): string {
  return mac.replaceAll(':', '');
}
