import { expect } from 'vitest';

/** Of a pcap file: a header of 24 bytes, then records with 16 before each frame (libpcap, pcap-savefile(5)). */
export function frames(file: Buffer): Buffer[] {
  if (file.length < 24) return [];
  expect([0xa1b2c3d4, 0xa1b23c4d]).toContain(file.readUInt32LE(0));
  expect(file.readUInt32LE(20)).toBe(1);
  const all: Buffer[] = [];
  for (let at = 24; at < file.length; at += 16 + file.readUInt32LE(at + 8)) {
    expect(at + 16 + file.readUInt32LE(at + 8)).toBeLessThanOrEqual(file.length);
    all.push(file.subarray(at + 16, at + 16 + file.readUInt32LE(at + 8)));
  }
  return all;
}

/** Who sent a frame. */
export function macOf(frame: Buffer): string {
  return [...frame.subarray(6, 12)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
