import { Name, SecretSet } from '@skerry/api';
import type { SecretService } from '@skerry/engine';
import type { Handlers } from './routes.ts';

/** Operations about secrets. A value comes in here, and goes out nowhere. */
export function secretHandlers({ secrets }: { readonly secrets: SecretService }): Handlers {
  return {
    answers: {
      'secret.list': () => secrets.list(),
      'secret.get': (_, { secret = '' }) => secrets.get(secret),
      'secret.set': (request, { secret }) =>
        secrets.set(Name.parse(secret), Buffer.from(SecretSet.parse(request.body).valueBase64, 'base64')),
      'secret.delete': async (_, { secret = '' }) => {
        await secrets.delete(secret);
        return {};
      },
      'secret.rotate-key': () => secrets.rotateKey(),
    },
    works: {},
  };
}
