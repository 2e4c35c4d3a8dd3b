import { writeFile } from 'node:fs/promises';

/**
 * Guests of a few bytes: an ELF that QEMU boots directly through its PVH note (Xen's "x86/HVM direct boot ABI"), in
 * 32-bit protected mode without paging. Enough to see a VM run, reset and print.
 */

const LOAD_ADDRESS = 0x10_0000;
const HEADER_BYTES = 52;
const PROGRAM_HEADER_BYTES = 32;
const NOTE_OFFSET = HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
const NOTE_BYTES = 20;
const CODE_OFFSET = NOTE_OFFSET + NOTE_BYTES;
const ENTRY = LOAD_ADDRESS + CODE_OFFSET;
/** XEN_ELFNOTE_PHYS32_ENTRY of xen/include/public/elfnote.h. */
const PHYS32_ENTRY = 18;

/** cli; hlt; jmp to the hlt */
const HALT = [0xfa, 0xf4, 0xeb, 0xfd];

/** Counts down (mov ecx; dec ecx; jnz), loads an empty interrupt table and traps: a triple fault, which is a reset. */
const RESET = [0xb9, ...le32(100_000_000), 0x49, 0x75, 0xfd, 0x0f, 0x01, 0x1d, ...le32(0xf_0000 - 16), 0xcc];

export interface TinyGuest {
  /** Written to the first serial port (a q35 machine has one; a microvm of ours has none). */
  readonly print?: string;
  /** `reset` does it after some 2e8 instructions: late enough for a monitor to be connected. */
  readonly then: 'halt' | 'reset';
}

/** Writes a kernel for QEMU's -kernel. */
export async function writeGuest(path: string, guest: TinyGuest): Promise<void> {
  const end = guest.then === 'halt' ? HALT : RESET;
  const code = guest.print === undefined ? end : [...printing(end.length), ...end, ...Buffer.from(`${guest.print}\0`)];
  const fileBytes = CODE_OFFSET + code.length;
  const elf = [
    ...[0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], // ELF, 32 bits, little endian
    ...le16(2), // ET_EXEC
    ...le16(3), // EM_386
    ...le32(1, ENTRY, HEADER_BYTES, 0, 0),
    ...le16(HEADER_BYTES, PROGRAM_HEADER_BYTES, 2, 0, 0, 0),
    ...le32(1, 0, LOAD_ADDRESS, LOAD_ADDRESS, fileBytes, fileBytes, 7, 4096), // PT_LOAD: all of the file
    ...le32(4, NOTE_OFFSET, 0, 0, NOTE_BYTES, NOTE_BYTES, 4, 4), // PT_NOTE
    ...le32(4, 4, PHYS32_ENTRY),
    ...Buffer.from('Xen\0'),
    ...le32(ENTRY),
    ...code,
  ];
  await writeFile(path, Buffer.from(elf), { mode: 0o644 });
}

/** Prints the zero-ended text that follows the `endBytes` of code after this one. */
function printing(endBytes: number): number[] {
  const loop = [0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8]; // lodsb; test al; jz +3; out dx, al; jmp to lodsb
  const head = 5 + 4;
  const text = ENTRY + head + loop.length + endBytes;
  return [0xbe, ...le32(text), 0x66, 0xba, ...le16(0x3f8), ...loop]; // mov esi, text; mov dx, 0x3f8
}

function le16(...values: readonly number[]): number[] {
  return values.flatMap((value) => [value & 0xff, (value >> 8) & 0xff]);
}

function le32(...values: readonly number[]): number[] {
  return values.flatMap((value) => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >>> 24) & 0xff]);
}
