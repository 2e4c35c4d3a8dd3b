import { SECRETS_DIRECTORY, SkerryError, type NodeSpec, type SecretUse, type VmSpec } from '@skerry/api';

/** Pure: who uses which secret, and what a guest is given. */

/** What a guest is given at its start. */
export interface GuestSecrets {
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly GuestSecretFile[];
}

export interface GuestSecretFile {
  /** On a file system in the guest's memory. */
  readonly path: string;
  /** A link to it is put here as well. */
  readonly link: string | undefined;
  readonly content: Buffer;
}

/** All of the environment is told in one frame of 64 KiB. */
const MAX_ENV_BYTES = 8 * 1024;

interface Named<T> {
  readonly name: string;
  readonly spec: T;
}

/** Names of VMs, those that a node only declares among them, in order. */
export function usersOf(
  secret: string,
  vms: readonly Named<Pick<VmSpec, 'secrets'>>[],
  nodes: readonly Named<Pick<NodeSpec, 'vms'>>[],
): string[] {
  const names = ({ secrets }: Pick<VmSpec, 'secrets'>): boolean =>
    secrets?.some((use) => use.secret === secret) === true;
  const users = [
    ...vms.filter(({ spec }) => names(spec)).map(({ name }) => name),
    ...nodes.flatMap(({ name: node, spec }) =>
      Object.entries(spec.vms).flatMap(([name, vm]) => (names(vm) ? [`${node}/${name}`] : [])),
    ),
  ];
  return [...new Set(users)].toSorted();
}

/**
 * @param valueOf the value of each secret that is named
 * @throws SkerryError `invalid`: a value that can't be in an environment
 */
export function guestSecrets(uses: readonly SecretUse[], valueOf: ReadonlyMap<string, Buffer>): GuestSecrets {
  const env: Record<string, string> = {};
  const files: GuestSecretFile[] = [];
  for (const { secret, path, env: variable } of uses) {
    const content = valueOf.get(secret);
    if (content === undefined) throw missingSecret(secret);
    if (variable !== undefined) {
      env[variable] = textOf(secret, variable, content);
      continue;
    }
    const own = `${SECRETS_DIRECTORY}/${secret}`;
    files.push({ path: own, link: path === own ? undefined : path, content });
  }
  return { env, files };
}

function textOf(secret: string, variable: string, content: Buffer): string {
  const text = content.toString('utf8');
  const why = text.includes('\0')
    ? 'has a NUL byte'
    : !Buffer.from(text).equals(content)
      ? 'is no UTF-8 text'
      : content.length > MAX_ENV_BYTES
        ? `is longer than ${MAX_ENV_BYTES} bytes`
        : undefined;
  if (why === undefined) return text;
  throw new SkerryError('invalid', `The secret '${secret}' can't be the variable ${variable}: it ${why}`, {
    remedy: `Give it as a file (--secret ${secret}, or \`secrets: [${secret}]\`): the VM finds it as ${SECRETS_DIRECTORY}/${secret}.`,
  });
}

export function missingSecret(name: string): SkerryError {
  return new SkerryError('not-found', `There is no secret '${name}'`, {
    remedy: `Set it first: \`skerry secret set ${name}\` (see \`skerry secret list\`).`,
    details: { secret: name },
  });
}
