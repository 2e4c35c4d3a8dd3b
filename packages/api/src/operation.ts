import type { z } from 'zod';

/** One call of the API, as data. */

/** `ndjson`: one JSON value a line, without end until the client leaves; `bytes`: raw; `websocket`: see `streams.ts`. */
export type OperationKind = 'json' | 'task' | 'ndjson' | 'bytes' | 'websocket';

export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `{vm}` and the like are NAME, NODE/NAME (percent-encoded) or ids. */
  readonly path: string;
  readonly kind: OperationKind;
  readonly summary: string;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** Of `task`: the task's result. Of `ndjson`: one line. */
  readonly result: z.ZodType;
}
