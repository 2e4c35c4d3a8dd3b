import { createHash } from 'node:crypto';
import { parseMac } from '@skerry/switch/address';

/** A table of nftables as data, its text, and whether one that the kernel has is it. Pure. */

export interface NftTable {
  readonly family: 'inet' | 'bridge';
  readonly name: string;
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
}

export interface NftSet {
  readonly kind: 'set' | 'map';
  readonly name: string;
  /** `ifname . ipv4_addr`, of a map with what it leads to. */
  readonly type: string;
  readonly flags?: 'interval' | undefined;
  readonly elements: readonly string[];
}

export interface NftChain {
  readonly name: string;
  /** Absent: it is jumped to. */
  readonly hook?: string | undefined;
  readonly rules: readonly string[];
}

/** The text of one transaction: whatever was there under this name is replaced at once. */
export function replaceTable(table: NftTable): string {
  const { family, name } = table;
  return `table ${family} ${name}\ndelete table ${family} ${name}\n${tableText(table)}`;
}

export function removeTable({ family, name }: Pick<NftTable, 'family' | 'name'>): string {
  return `table ${family} ${name}\ndelete table ${family} ${name}\n`;
}

export function tableText(table: NftTable): string {
  const sets = table.sets.map(
    ({ kind, name, type, flags, elements }) =>
      `\t${kind} ${name} {\n\t\ttype ${type}\n${flags === undefined ? '' : `\t\tflags ${flags}\n`}${
        elements.length === 0 ? '' : `\t\telements = { ${elements.join(', ')} }\n`
      }\t}\n`,
  );
  const chains = table.chains.map(
    ({ name, hook, rules }) =>
      `\tchain ${name} {\n${[...(hook === undefined ? [] : [hook]), ...rules].map((line) => `\t\t${line}\n`).join('')}\t}\n`,
  );
  return `table ${table.family} ${table.name} {\n${[...sets, ...chains].join('')}\t${markOf(table)} {\n\t}\n}\n`;
}

/** The kernel writes rules down in its own words, so what is there is known by an empty chain that is named after the text. */
function markOf(table: NftTable): string {
  const text = JSON.stringify([table.sets, table.chains]);
  return `chain is_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

/** As a number of 48 bits, for what is compared at an offset. */
export function hexMac(mac: string): string {
  return `0x${(parseMac(mac) ?? 0).toString(16).padStart(12, '0')}`;
}

/** The name of an interface, as nft takes it. */
export function quoted(name: string): string {
  return `"${name}"`;
}

/** What `nft -j list table` prints, of which only this is read. */
interface Listed {
  readonly nftables?: ReadonlyArray<{
    readonly chain?: { readonly name: string };
    readonly rule?: { readonly chain: string };
    readonly set?: { readonly name: string; readonly elem?: readonly unknown[] };
    readonly map?: { readonly name: string; readonly elem?: readonly unknown[] };
  }>;
}

/** Whether the kernel has this table, with all its rules and elements. @param listed undefined: there is none */
export function isInForce(table: NftTable, listed: unknown): boolean {
  const objects = (listed as Listed | undefined)?.nftables ?? [];
  if (!objects.some(({ chain }) => `chain ${chain?.name}` === markOf(table))) return false;
  const rules = (name: string): number => objects.filter(({ rule }) => rule?.chain === name).length;
  const elements = (name: string): number =>
    objects.map(({ set, map }) => set ?? map).find((each) => each?.name === name)?.elem?.length ?? 0;
  return (
    table.chains.every((chain) => rules(chain.name) === chain.rules.length) &&
    table.sets.every((set) => elements(set.name) === set.elements.length)
  );
}
