import { z } from 'zod';
import type { Operation } from './operation.ts';
import { Secret, SecretSet } from './secret.ts';

/** Calls about secrets. A part of OPERATIONS. No answer holds a value. */
export const SECRET_OPERATIONS = {
  'secret.list': { method: 'GET', path: '/secrets', kind: 'json', summary: 'All secrets', result: z.array(Secret) },
  'secret.get': {
    method: 'GET',
    path: '/secrets/{secret}',
    kind: 'json',
    summary: 'One secret: who uses it and since when it is what it is, never its value',
    result: Secret,
  },
  'secret.set': {
    method: 'PUT',
    path: '/secrets/{secret}',
    kind: 'json',
    summary: 'Make a secret, or give it another value: VMs have it from their next start on',
    body: SecretSet,
    result: Secret,
  },
  'secret.delete': {
    method: 'DELETE',
    path: '/secrets/{secret}',
    kind: 'json',
    summary: 'Delete a secret that nothing uses',
    result: z.object({}),
  },
  'secret.rotate-key': {
    method: 'POST',
    path: '/secrets/rotate-key',
    kind: 'json',
    summary: 'Encrypt all secrets with a new key',
    result: z.object({ secrets: z.int() }),
  },
} as const satisfies Record<string, Operation>;
