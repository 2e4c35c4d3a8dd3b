import websocket from '@fastify/websocket';
import { API_PREFIX, ERROR_KINDS, SkerryError } from '@skerry/api';
import fastify, { type FastifyInstance } from 'fastify';
import type { Platform } from '../platform.ts';
import { changeHandlers } from './change-routes.ts';
import { cloneHandlers } from './clone-routes.ts';
import { connectRoutes } from './connect.ts';
import { consoleRoutes } from './console.ts';
import { execRoutes } from './exec.ts';
import { fileRoutes } from './files.ts';
import { jsonHandlers, type DaemonFacts } from './json-routes.ts';
import { faultHandlers } from './fault-routes.ts';
import { lifeHandlers } from './life-routes.ts';
import { keepHandlers } from './keep-routes.ts';
import { networkHandlers } from './network-routes.ts';
import { routeHandlers } from './route-routes.ts';
import { logRoutes } from './logs.ts';
import { nodeHandlers, nodeStreams } from './node-routes.ts';
import { problemOf } from './problems.ts';
import { refuseTheRest, serve } from './routes.ts';
import { captureRoutes, nicHandlers } from './nic-routes.ts';
import { shareHandlers } from './share-routes.ts';
import { secretHandlers } from './secret-routes.ts';
import { streamRoutes } from './streams.ts';

/** HTTP and WebSocket on top of the platform. Errors are problem details (RFC 9457) with our code and remedy. */

const MAX_BODY_BYTES = 64 * 2 ** 20;

/** The contract checks what comes and goes (routes.ts); Fastify's own compilers would be 5 MiB that nobody uses. */
const NO_SCHEMAS = () => () => {
  throw new SkerryError('internal', 'A route has a schema of Fastify', {
    remedy: 'This is a bug in Skerry: report it.',
  });
};

export async function createServer(platform: Platform, facts: DaemonFacts): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    schemaController: { compilersFactory: { buildValidator: NO_SCHEMAS, buildSerializer: NO_SCHEMAS } },
    routerOptions: { maxParamLength: 256 },
  });
  await app.register(websocket, { options: { maxPayload: 1024 * 1024, perMessageDeflate: false } });
  // A file's content goes into the guest as it comes.
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  app.setErrorHandler((error, _request, reply) => {
    const problem = problemOf(error);
    return reply
      .code(problem.httpStatus)
      .type('application/problem+json')
      .send({
        type: 'about:blank',
        title: ERROR_KINDS[problem.code].title,
        status: problem.httpStatus,
        ...problem.toBody(),
      });
  });
  app.setNotFoundHandler((request) => {
    throw new SkerryError('not-found', `There is no ${request.method} ${request.url}`, {
      remedy: 'See the list of operations in the reference.',
    });
  });
  await app.register(
    async (scope) => {
      serve(scope, platform.tasks, jsonHandlers(platform, facts));
      serve(scope, platform.tasks, changeHandlers(platform));
      serve(scope, platform.tasks, cloneHandlers(platform));
      serve(scope, platform.tasks, shareHandlers(platform));
      serve(scope, platform.tasks, nicHandlers(platform));
      serve(scope, platform.tasks, lifeHandlers(platform));
      serve(scope, platform.tasks, faultHandlers(platform));
      serve(scope, platform.tasks, nodeHandlers(platform));
      serve(scope, platform.tasks, networkHandlers(platform));
      serve(scope, platform.tasks, routeHandlers(platform));
      serve(scope, platform.tasks, secretHandlers(platform));
      serve(scope, platform.tasks, keepHandlers(platform, facts.version));
      streamRoutes(scope, platform);
      nodeStreams(scope, platform);
      fileRoutes(scope, platform);
      logRoutes(scope, platform);
      captureRoutes(scope, platform);
      execRoutes(scope, platform);
      consoleRoutes(scope, platform);
      connectRoutes(scope, platform);
      refuseTheRest(scope);
    },
    { prefix: API_PREFIX },
  );
  return app;
}
