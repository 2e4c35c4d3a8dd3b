import { z } from 'zod';
import { GuestPath } from './names.ts';
import { Port } from './port.ts';
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

/** The user of a guest: a name, so that it is nothing else to a shell or a path. */
const GuestUser = z.string().regex(/^[a-z_][a-z0-9_.-]{0,31}$/i, { message: 'not the name of a user in a guest' });

/** One line of an authorized_keys file, without options. */
const PublicKey = z
  .string()
  .max(1024)
  .regex(/^ssh-ed25519 [A-Za-z0-9+/=]+(?: [\w.@-]+)?$/, { message: 'not an Ed25519 public key' });

/** Where a stream of `vm.connect` leads to: a TCP port of the guest's own (127.0.0.1), or a session of its ssh server. */
export const ConnectRequest = z.discriminatedUnion('to', [
  z.strictObject({ to: z.literal('port'), port: Port }),
  z.strictObject({
    to: z.literal('ssh'),
    user: GuestUser.default('root'),
    /** May log in as this user from now on. */
    publicKey: PublicKey,
  }),
]);
export type ConnectRequest = z.infer<typeof ConnectRequest>;
export type ConnectRequestInput = z.input<typeof ConnectRequest>;

export type ConnectReply =
  /** `hostKeys`: of an ssh server, as in a known_hosts file: `ssh-ed25519 AAAA...` */
  | { readonly type: 'open'; readonly hostKeys: readonly string[] }
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
