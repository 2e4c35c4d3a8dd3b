import { duplexPair, type Duplex } from 'node:stream';
import { QmpClient } from '@skerry/qmp';

export const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "test"}, "capabilities": ["oob"]}}\n';

interface Command {
  readonly execute: string;
  readonly arguments: unknown;
  readonly id: number;
}

/** The far end of a connection, that says what a test wants and shows which commands came. */
export class Peer {
  readonly stream: Duplex;
  readonly commands: Command[] = [];
  #arrived = Promise.withResolvers<void>();
  #unfinished = '';

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on('data', (chunk: Buffer) => {
      const lines = (this.#unfinished + chunk.toString()).split('\n');
      this.#unfinished = lines.pop() ?? '';
      for (const line of lines) this.commands.push(JSON.parse(line) as Command);
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
    });
    stream.on('error', () => {});
  }

  /** The command number `index`, once it has come. */
  async command(index: number): Promise<Command> {
    for (;;) {
      const command = this.commands[index];
      if (command !== undefined) return command;
      await this.#arrived.promise;
    }
  }

  say(message: string | object): void {
    this.stream.write(typeof message === 'string' ? message : `${JSON.stringify(message)}\n`);
  }
}

/** A client that has negotiated, and its peer. */
export async function connected(): Promise<{ client: QmpClient; peer: Peer }> {
  const [near, far] = duplexPair();
  const peer = new Peer(far);
  const connecting = QmpClient.connect(near, { timeoutMs: 2000 });
  peer.say(GREETING);
  const capabilities = await peer.command(0);
  peer.say({ return: {}, id: capabilities.id });
  return { client: await connecting, peer };
}
