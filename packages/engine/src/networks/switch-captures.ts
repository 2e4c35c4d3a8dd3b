import {
  captureName,
  type CapturePort,
  type CapturedNic,
  type CaptureSinkPath,
  type RunningCapture,
} from './capture-port.ts';
import { portId } from './plan.ts';
import type { SwitchService } from './switch-service.ts';

/** Captures of the user datapath: the switch does them. */
export class SwitchCaptures implements CapturePort {
  readonly #switches: Pick<SwitchService, 'capture'>;

  constructor(switches: Pick<SwitchService, 'capture'>) {
    this.#switches = switches;
  }

  async running(): Promise<ReadonlyMap<string, RunningCapture>> {
    const { captures } = (await this.#switches.capture('capture.list', undefined)) ?? { captures: [] };
    return new Map(captures.map((capture) => [capture.name, capture]));
  }

  async start(nic: CapturedNic, sink: CaptureSinkPath): Promise<void> {
    const name = 'name' in sink ? sink.name : captureName(nic);
    await this.#switches.capture('capture.start', { ...sink, portId: portId({ id: nic.vmId }, nic.index), name });
  }

  async stop(nic: Pick<CapturedNic, 'vmId' | 'index'>): Promise<void> {
    await this.#switches.capture('capture.stop', { name: captureName(nic) });
  }
}
