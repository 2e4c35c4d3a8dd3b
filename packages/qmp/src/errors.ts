/** QEMU refused a command. `class` is QEMU's (nearly always `GenericError`), `desc` its sentence for a reader. */
export class QmpError extends Error {
  override readonly name = 'QmpError';
  readonly class: string;
  readonly desc: string;
  readonly command: string;

  constructor(command: string, error: { class: string; desc: string }) {
    super(`QEMU refused ${command}: ${error.desc}`);
    this.command = command;
    this.class = error.class;
    this.desc = error.desc;
  }
}
