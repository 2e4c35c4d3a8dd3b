import { z } from 'zod';
import { GuestPath } from './names.ts';
import { ArgvSchema, Env } from './vm.ts';

/** What is said on the WebSockets of `channels.ts`, and of files. */

export const TtySize = z.strictObject({ cols: z.int().min(1).max(9999), rows: z.int().min(1).max(9999) });
export type TtySize = z.infer<typeof TtySize>;

export const ExecRequest = z.strictObject({
  argv: ArgvSchema,
  env: Env.optional(),
  cwd: GuestPath.optional(),
  user: z.string().max(64).optional(),
  tty: TtySize.optional(),
  timeoutMs: z.int().min(1).optional(),
  /** False: the process reads end-of-file at once. */
  stdin: z.boolean().default(false),
});
export type ExecRequest = z.infer<typeof ExecRequest>;
export type ExecRequestInput = z.input<typeof ExecRequest>;

/** Signals that can be sent into a guest by name. */
export const SignalName = z.enum([
  'HUP',
  'INT',
  'QUIT',
  'KILL',
  'USR1',
  'USR2',
  'TERM',
  'CONT',
  'STOP',
  'TSTP',
  'WINCH',
]);
export type SignalName = z.infer<typeof SignalName>;

export const ExecControl = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('resize'), size: TtySize }),
  z.strictObject({ type: z.literal('signal'), signal: SignalName }),
]);
export type ExecControl = z.infer<typeof ExecControl>;

export type ExecReply =
  | { readonly type: 'exit'; readonly exitCode: number | null; readonly signal: string | null }
  | { readonly type: 'error'; readonly error: import('./errors.ts').ErrorBody };

export const FileEntry = z.object({
  name: z.string(),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  sizeBytes: z.number(),
  mode: z.int(),
  mtimeMs: z.number(),
});
export type FileEntry = z.infer<typeof FileEntry>;

/** Answer of a file upload. */
export const FileDigest = z.object({ sha256: z.string(), bytes: z.number() });
export type FileDigest = z.infer<typeof FileDigest>;
