import type { ConnectOptions, Skerry } from '@skerry/sdk';
import { SkerryError } from '@skerry/api/base';
import type { Args, OutputFormat } from '../grammar/index.ts';
import { Interrupts } from './interrupts.ts';
import { Output } from './output.ts';
import { Progress } from './progress.ts';

/** What a command has to work with. */
export class Context implements Disposable {
  readonly out: Output;
  readonly progress = new Progress();
  readonly interrupts = new Interrupts();
  readonly host: string | undefined;
  readonly yes: boolean;
  readonly force: boolean;
  readonly noWait: boolean;
  readonly timeoutMs: number | undefined;
  #client: Skerry | undefined;

  constructor(args: Args) {
    this.out = new Output((args.text('output') as OutputFormat | undefined) ?? 'table');
    this.host = args.text('host');
    this.yes = args.flag('yes');
    this.force = args.flag('force');
    this.noWait = args.flag('no-wait');
    this.timeoutMs = args.durationMs('timeout');
    const project = args.text('project');
    if (project !== undefined && project !== 'default') {
      throw new SkerryError('unsupported', `There is no project '${project}'`, {
        remedy: 'This version has one project, `default`: leave --project out.',
      });
    }
  }

  /** Aborted by Ctrl-C. */
  get signal(): AbortSignal {
    return this.interrupts.signal;
  }

  /** A client of the daemon, which is started if it does not run. */
  async client(): Promise<Skerry> {
    if (this.#client !== undefined) return this.#client;
    const { connect, ensureDaemon } = await import('@skerry/sdk');
    const endpoint = await ensureDaemon({
      host: this.host,
      signal: this.signal,
      onStart: () => this.progress.update('daemon', 'starting'),
    });
    this.progress.end('daemon');
    this.#client = connect(endpoint satisfies ConnectOptions);
    return this.#client;
  }

  [Symbol.dispose](): void {
    this.progress.clear();
    this.#client?.close();
  }
}
