import { FaultStart, OPERATIONS } from '@skerry/api';
import type { FaultService } from '@skerry/engine';
import type { Handlers } from './routes.ts';

/** Operations about faults. */
export function faultHandlers({ faults }: { readonly faults: FaultService }): Handlers {
  return {
    answers: {
      'fault.list': (request) => faults.list(OPERATIONS['fault.list'].query.parse(request.query)),
      'fault.get': (_, { fault = '' }) => faults.get(fault),
      'fault.start': (request) => faults.start(FaultStart.parse(request.body)),
      'fault.clear': (request) => faults.clear(OPERATIONS['fault.clear'].body.parse(request.body ?? {}).of),
    },
    works: {},
  };
}
