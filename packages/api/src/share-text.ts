import { SkerryError } from './errors.ts';

/** Shares as a person writes them: HOST:GUEST[:ro,virtiofs]. Needs no zod: the command line reads them. */

export interface ShareText {
  /** As written: it may be relative. */
  readonly hostPath: string;
  readonly guestPath: string;
  readonly readonly?: boolean;
  readonly how?: '9p' | 'virtiofs';
}

/** './src:/mnt/src', '/srv/data:/data:ro', './src:/mnt/src:ro,virtiofs'. @throws SkerryError `invalid` */
export function parseShare(text: string): ShareText {
  const match =
    /^(?<host>.+?):(?<guest>[^:]*)(?::(?<options>(?:ro|rw|9p|virtiofs)(?:,(?:ro|rw|9p|virtiofs))*))?$/s.exec(text);
  const { host = '', guest = '', options } = match?.groups ?? {};
  const given = options?.split(',') ?? [];
  // './src:/mnt:rx': what stands behind the guest's path is no mode.
  if (host === '' || guest === '' || (!guest.startsWith('/') && host.includes(':/'))) {
    throw new SkerryError('invalid', `'${text}' is no share`, {
      remedy: 'Write HOST:GUEST, HOST:GUEST:ro or HOST:GUEST:virtiofs, such as ./src:/mnt/src.',
    });
  }
  if (given.filter(isMode).length > 1 || given.filter((option) => !isMode(option)).length > 1) {
    throw new SkerryError('invalid', `'${text}': ${given.join(' and ')} do not go together`, {
      remedy: 'Write one of ro and rw, and one of 9p and virtiofs, such as ./src:/mnt/src:ro,virtiofs.',
    });
  }
  if (!guest.startsWith('/')) {
    throw new SkerryError('invalid', `'${text}': ${guest} is not an absolute path in the guest`, {
      remedy: `Write ${host}:/mnt/${guest.replace(/^[./]+/, '') || 'share'}${options === undefined ? '' : `:${options}`}.`,
    });
  }
  const how = (['9p', 'virtiofs'] as const).find((each) => given.includes(each));
  return {
    hostPath: host,
    guestPath: guest,
    ...(given.includes('ro') ? { readonly: true } : {}),
    ...(how === undefined ? {} : { how }),
  };
}

function isMode(option: string): boolean {
  return option === 'ro' || option === 'rw';
}
