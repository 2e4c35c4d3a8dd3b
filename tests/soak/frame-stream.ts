import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Numbered datagrams from one network namespace to another, and what became of them. */

export interface Streamed {
  readonly sent: number;
  readonly lost: number;
  /** Came once more. */
  readonly doubled: number;
  /** Came after one with a higher number. */
  readonly overtaken: number;
  /** Came before one with a lower number, which was not lost. */
  readonly overtaking: number;
}

const COUNT = 2000;

const RECEIVER = `
const socket = require('node:dgram').createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
const seen = [];
let timer;
socket.on('message', (data) => {
  seen.push(data.readUInt32BE(0));
  clearTimeout(timer);
  timer = setTimeout(() => { process.stdout.write(JSON.stringify(seen)); process.exit(0); }, 3000);
});
socket.bind(7001, () => process.stdout.write('ready\\n'));
setTimeout(() => { process.stdout.write(JSON.stringify(seen)); process.exit(0); }, 60000);
`;

/** Ten at a time: no queue on the way is to be full. */
const SENDER = `
const socket = require('node:dgram').createSocket('udp4');
const [address, count] = process.argv.slice(1);
let next = 0;
const timer = setInterval(() => {
  for (let n = 0; n < 10 && next < count; n += 1, next += 1) {
    const data = Buffer.alloc(64);
    data.writeUInt32BE(next, 0);
    socket.send(data, 7001, address);
  }
  if (next >= count) { clearInterval(timer); setTimeout(() => socket.close(), 200); }
}, 5);
`;

export async function streamed(from: string, to: string, address: string): Promise<Streamed> {
  const inside = (netns: string, program: string, ...args: string[]) =>
    // On one CPU: each has a backlog of its own, and between two frames change their order without anybody's doing.
    spawn('taskset', ['-c', '0', 'nsenter', `--net=/run/netns/${netns}`, process.execPath, '-e', program, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const receiver = inside(to, RECEIVER);
  let text = '';
  receiver.stdout.on('data', (data: Buffer) => (text += data.toString()));
  await once(receiver.stdout, 'data');
  await once(inside(from, SENDER, address, String(COUNT)), 'exit');
  await once(receiver, 'close');
  return countOf(JSON.parse(text.replace('ready\n', '') || '[]') as number[]);
}

function countOf(seen: readonly number[]): Streamed {
  const first = [...new Set(seen)];
  let highest = -1;
  let overtaken = 0;
  for (const number of first) {
    if (number < highest) overtaken += 1;
    highest = Math.max(highest, number);
  }
  let lowest = Infinity;
  let overtaking = 0;
  for (const number of first.toReversed()) {
    if (number > lowest) overtaking += 1;
    lowest = Math.min(lowest, number);
  }
  return { sent: COUNT, lost: COUNT - first.length, doubled: seen.length - first.length, overtaken, overtaking };
}
