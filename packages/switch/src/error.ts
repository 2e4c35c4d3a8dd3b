export type SwitchErrorCode = 'invalid' | 'in-use' | 'unavailable' | 'timeout' | 'failed';

/**
 * The switch has no dependency, so it has an error of its own; the engine turns it into what users see.
 * `in-use`: another switch answers on the control path; `unavailable`: none does.
 */
export class SwitchError extends Error {
  override readonly name = 'SwitchError';
  readonly code: SwitchErrorCode;

  constructor(code: SwitchErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
