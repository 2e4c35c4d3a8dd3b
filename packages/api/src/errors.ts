/**
 * The one error type that crosses a boundary, and the one table that says what each code means to HTTP (RFC 9457),
 * to a shell (exit code) and to a reader. Every failure a user can see is one of these; `internal` means our bug.
 */

interface ErrorKind {
  /** HTTP status the API answers with. */
  readonly httpStatus: number;
  /** Exit code of the CLI (`docs/reference/errors.md`). */
  readonly exitCode: number;
  readonly title: string;
}

/** Code -> HTTP status, exit code, title. Exit codes: 1 failed, 2 usage, 3 not found, 4 conflict, 5 refused, 6 timeout. */
export const ERROR_KINDS = {
  invalid: { httpStatus: 400, exitCode: 2, title: 'The request is not valid' },
  'not-found': { httpStatus: 404, exitCode: 3, title: 'There is no such thing' },
  conflict: { httpStatus: 409, exitCode: 4, title: 'It was changed meanwhile, or the name is taken' },
  'in-use': { httpStatus: 409, exitCode: 4, title: 'Something else uses it' },
  'wrong-state': { httpStatus: 409, exitCode: 4, title: 'Not possible in this state' },
  refused: { httpStatus: 403, exitCode: 5, title: 'Not allowed' },
  unsupported: { httpStatus: 501, exitCode: 5, title: 'Not possible here' },
  'no-space': { httpStatus: 507, exitCode: 5, title: 'Not enough room' },
  timeout: { httpStatus: 504, exitCode: 6, title: 'It took too long' },
  cancelled: { httpStatus: 499, exitCode: 130, title: 'Cancelled' },
  unavailable: { httpStatus: 503, exitCode: 1, title: 'A part that is needed does not answer' },
  failed: { httpStatus: 500, exitCode: 1, title: 'It did not work' },
  internal: { httpStatus: 500, exitCode: 1, title: 'A bug in Skerry' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

export interface SkerryErrorOptions {
  /** What to type or change next. Required for everything but `internal` and `cancelled`. */
  readonly remedy?: string | undefined;
  /** Machine-readable facts: names, limits, paths. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

/** The error as it travels: RFC 9457 problem details with our members. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy?: string | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

export class SkerryError extends Error {
  override readonly name = 'SkerryError';
  readonly code: ErrorCode;
  readonly remedy: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: SkerryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy;
    this.details = options.details;
  }

  get httpStatus(): number {
    return ERROR_KINDS[this.code].httpStatus;
  }

  get exitCode(): number {
    return ERROR_KINDS[this.code].exitCode;
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }

  static fromBody(body: ErrorBody): SkerryError {
    const code = Object.hasOwn(ERROR_KINDS, body.code) ? body.code : 'internal';
    return new SkerryError(code, body.message, { remedy: body.remedy, details: body.details });
  }

  /** Any thrown value as a SkerryError; what is not one already is our bug, and keeps its cause. */
  static from(error: unknown): SkerryError {
    if (error instanceof SkerryError) return error;
    // What went wrong first is what matters; that taking it back failed too is its second half.
    if (isSuppressed(error)) return SkerryError.from(error.suppressed);
    if (error instanceof Error && error.name === 'AbortError') {
      return new SkerryError('cancelled', 'Cancelled', { cause: error });
    }
    const message = error instanceof Error ? error.message : String(error);
    return new SkerryError('internal', message, {
      remedy: 'This is a bug in Skerry: report it with the output of `skerry daemon logs`.',
      cause: error,
    });
  }
}

/** SuppressedError (ECMAScript explicit resource management): a disposal failed while an error was on its way. */
function isSuppressed(error: unknown): error is Error & { readonly suppressed: unknown } {
  return error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error;
}
