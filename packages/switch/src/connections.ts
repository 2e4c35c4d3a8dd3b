import { randomInt } from 'node:crypto';
import { isPieces, KEY_WORDS, KIND, protocolOf, type Flow } from './flow.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './packets/ipv4.ts';

/**
 * What one port has begun: a hash table with open addresses, of a bounded size, so that a guest that begins things
 * without end fills its own table only, and then begins nothing more. What is in it is never pushed out by what is new.
 */

const EXPIRES = KEY_WORDS;
const STATE = KEY_WORDS + 1;
const SLOT_WORDS = KEY_WORDS + 2;

const ANSWERED = 1;
const CLOSING = 2;
/** Above the flags: the number of the port that it leads to. */
const PEER_SHIFT = 8;

const FIRST_SLOTS = 64;
const MAX_SLOTS = 8192;

/**
 * Seconds. TCP: RFC 5382 section 5 (two hours and four minutes, four minutes when closing); UDP: RFC 4787 section 4.3 (two
 * minutes at least); the others as Linux has them.
 */
const TCP_SECONDS = 2 * 3600 + 4 * 60;
const CLOSING_SECONDS = 240;
const UDP_SECONDS = 120;
const UNANSWERED_SECONDS = 60;
const OTHER_SECONDS = 30;

export class Connections {
  #slots = new Uint32Array(FIRST_SLOTS * SLOT_WORDS);
  #mask = FIRST_SLOTS - 1;
  /** Slots that are not empty; those whose time is over are still in the way of a search. */
  #used = 0;
  /** While it is full: when it is worth another look. */
  #lookAgainAt = 0;
  /** So that nobody can choose keys that meet in one place. */
  readonly #seed = randomInt(0x1_0000_0000);

  /** @returns its place, or -1 */
  find(key: Uint32Array, nowSeconds: number): number {
    const slots = this.#slots;
    for (let at = this.#first(key); slots[at + EXPIRES] !== 0; at = this.#next(at)) {
      if (slots[at + EXPIRES]! > nowSeconds && sameKey(slots, at, key)) return at;
    }
    return -1;
  }

  /**
   * Puts in what is not there yet.
   * @returns false when there is no room
   */
  add(key: Uint32Array, peer: number, nowSeconds: number): boolean {
    if (this.#used >= (this.#mask + 1) * 0.75 && !this.#rebuild(nowSeconds)) return false;
    const slots = this.#slots;
    let at = this.#first(key);
    while (slots[at + EXPIRES]! > nowSeconds) at = this.#next(at);
    if (slots[at + EXPIRES] === 0) this.#used += 1;
    slots.set(key, at);
    slots[at + STATE] = (peer << PEER_SHIFT) >>> 0;
    slots[at + EXPIRES] = nowSeconds + secondsOf(key[KIND]!, 0);
    return true;
  }

  /** It was used by `flow`, which is of its beginning side, or an answer. */
  touch(at: number, flow: Pick<Flow, 'opens' | 'closes'>, isAnswer: boolean, nowSeconds: number): void {
    const slots = this.#slots;
    let state = slots[at + STATE]!;
    // The same ports are used once more.
    if (flow.opens) state &= ~(ANSWERED | CLOSING);
    if (isAnswer) state |= ANSWERED;
    if (flow.closes) state |= CLOSING;
    slots[at + STATE] = state;
    slots[at + EXPIRES] = nowSeconds + secondsOf(slots[at + KIND]!, state);
  }

  /** The number of the port that it leads to. */
  peer(at: number): number {
    return this.#slots[at + STATE]! >>> PEER_SHIFT;
  }

  forget(at: number): void {
    // 1, not 0: a search goes on past it.
    this.#slots[at + EXPIRES] = 1;
  }

  /** Forgets what `keep` refuses; pieces of datagrams are forgotten anyway. */
  review(keep: (key: Uint32Array, peer: number) => boolean, nowSeconds: number): void {
    const slots = this.#slots;
    for (let at = 0; at < slots.length; at += SLOT_WORDS) {
      if (slots[at + EXPIRES]! <= nowSeconds) continue;
      const key = slots.subarray(at, at + KEY_WORDS);
      if (isPieces(key[KIND]!) || !keep(key, this.peer(at))) this.forget(at);
    }
  }

  /** How many there are. */
  count(nowSeconds: number): number {
    let count = 0;
    for (let at = 0; at < this.#slots.length; at += SLOT_WORDS) {
      if (this.#slots[at + EXPIRES]! > nowSeconds) count += 1;
    }
    return count;
  }

  #first(key: Uint32Array): number {
    let hash = this.#seed;
    for (let word = 0; word < KEY_WORDS; word += 1) {
      // The steps of MurmurHash3 (Appleby; public domain).
      let mixed = Math.imul(key[word]!, 0xcc9e_2d51);
      mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b87_3593);
      hash ^= mixed;
      hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe654_6b64) | 0;
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    hash ^= hash >>> 13;
    return (hash & this.#mask) * SLOT_WORDS;
  }

  #next(at: number): number {
    return at + SLOT_WORDS === this.#slots.length ? 0 : at + SLOT_WORDS;
  }

  /** Throws out what is over, into a larger table if need be. @returns whether there is room now */
  #rebuild(nowSeconds: number): boolean {
    if (nowSeconds < this.#lookAgainAt) return false;
    const old = this.#slots;
    const live = this.count(nowSeconds);
    let count = this.#mask + 1;
    if (live >= count / 2 && count < MAX_SLOTS) count *= 2;
    if (live >= count * 0.75) {
      this.#lookAgainAt = nowSeconds + 1;
      return false;
    }
    this.#slots = new Uint32Array(count * SLOT_WORDS);
    this.#mask = count - 1;
    this.#used = live;
    for (let from = 0; from < old.length; from += SLOT_WORDS) {
      if (old[from + EXPIRES]! <= nowSeconds) continue;
      let at = this.#first(old.subarray(from, from + KEY_WORDS));
      while (this.#slots[at + EXPIRES] !== 0) at = this.#next(at);
      this.#slots.set(old.subarray(from, from + SLOT_WORDS), at);
    }
    return true;
  }
}

function sameKey(slots: Uint32Array, at: number, key: Uint32Array): boolean {
  for (let word = 0; word < KEY_WORDS; word += 1) if (slots[at + word] !== key[word]) return false;
  return true;
}

function secondsOf(kind: number, state: number): number {
  const protocol = protocolOf(kind);
  if (isPieces(kind)) return OTHER_SECONDS;
  if ((state & ANSWERED) === 0) return protocol === PROTOCOL_TCP ? UNANSWERED_SECONDS : OTHER_SECONDS;
  if (protocol === PROTOCOL_TCP) return (state & CLOSING) !== 0 ? CLOSING_SECONDS : TCP_SECONDS;
  return protocol === PROTOCOL_UDP ? UDP_SECONDS : OTHER_SECONDS;
}
