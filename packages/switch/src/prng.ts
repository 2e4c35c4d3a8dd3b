/**
 * xoshiro128** 1.1 (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021): 128 bits of state,
 * four shifts and two multiplications a number, all in 32 bits, so that JavaScript is as exact as C. Its state is filled
 * from the seed by SplitMix32 with MurmurHash3's finaliser, as its authors advise for seeds of few bits.
 */
export class Prng {
  readonly #state: Uint32Array;

  /** @param seed 32 bits. @param stream another sequence for each, of the same seed */
  constructor(seed: number, stream = 0) {
    this.#state = new Uint32Array(4);
    let mixed = (seed ^ Math.imul(stream, 0x85eb_ca6b)) >>> 0;
    for (let i = 0; i < 4; i += 1) {
      mixed = (mixed + 0x9e37_79b9) >>> 0;
      this.#state[i] = finalise(mixed);
    }
  }

  /** For the published test vectors. */
  static ofState(state: readonly [number, number, number, number]): Prng {
    const prng = new Prng(0);
    prng.#state.set(state);
    return prng;
  }

  /** @returns 0 to 2^32 - 1 */
  uint32(): number {
    const s = this.#state;
    const [a, b, c, d] = [s[0]!, s[1]!, s[2]!, s[3]!];
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const [c2, d2] = [c ^ a, d ^ b];
    s[0] = a ^ d2;
    s[1] = b ^ c2;
    s[2] = c2 ^ (b << 9);
    s[3] = rotate(d2, 11);
    return result;
  }

  /** @returns in [0, 1), in steps of 2^-32 */
  share(): number {
    return this.uint32() / 0x1_0000_0000;
  }
}

/** A number of its own for each name: FNV-1a with 32 bits (draft-eastlake-fnv), over UTF-8. */
export function streamOf(name: string): number {
  let hash = 0x811c_9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return hash;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function finalise(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
