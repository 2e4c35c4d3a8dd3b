import { expect, test } from 'vitest';
import { pcapHeader, RECORD_HEADER_BYTES, writeRecordHeader } from '../../src/capture/pcap.ts';
import { hex } from '../support.ts';

test('a file header and a record header, to the byte', () => {
  expect(pcapHeader(65_549)).toEqual(
    hex(`
      4d3cb2a1          # nanoseconds, little-endian
      0200 0400         # version 2.4
      00000000 00000000
      0d000100          # SnapLen
      01000000          # LINKTYPE_ETHERNET, no FCS
    `),
  );
  const block = Buffer.alloc(2 + RECORD_HEADER_BYTES);
  writeRecordHeader(block, 2, { seconds: 0x65432101, nanoseconds: 999_999_999 }, 96, 1514);
  expect(block).toEqual(hex('0000 01214365 ffc99a3b 60000000 ea050000'));
});
