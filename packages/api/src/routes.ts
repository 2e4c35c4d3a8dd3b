import type { OperationId, OPERATIONS } from './operations.ts';

/**
 * Where each operation is, without the schemas of OPERATIONS: a client needs no more, and zod with all schemas takes longer
 * to load than a short command to run. The type holds the two tables together.
 */

export const API_PREFIX = '/v1';

type Routes = {
  readonly [I in OperationId]: `${(typeof OPERATIONS)[I]['method']} ${(typeof OPERATIONS)[I]['path']}`;
};

export const ROUTES: Routes = {
  'daemon.info': 'GET /daemon',
  'daemon.stop': 'POST /daemon/stop',
  'host.info': 'GET /host',
  'host.doctor': 'GET /host/doctor',
  'vm.list': 'GET /vms',
  'vm.create': 'POST /vms',
  'vm.get': 'GET /vms/{vm}',
  'vm.start': 'POST /vms/{vm}/start',
  'vm.stop': 'POST /vms/{vm}/stop',
  'vm.restart': 'POST /vms/{vm}/restart',
  'vm.pause': 'POST /vms/{vm}/pause',
  'vm.resume': 'POST /vms/{vm}/resume',
  'vm.kill': 'POST /vms/{vm}/kill',
  'vm.delete': 'DELETE /vms/{vm}',
  'vm.wait': 'POST /vms/{vm}/wait',
  'vm.exec': 'GET /vms/{vm}/exec',
  'vm.console': 'GET /vms/{vm}/console',
  'vm.logs': 'GET /vms/{vm}/logs',
  'vm.file.put': 'PUT /vms/{vm}/file',
  'vm.file.get': 'GET /vms/{vm}/file',
  'vm.file.stat': 'GET /vms/{vm}/stat',
  'vm.file.list': 'GET /vms/{vm}/directory',
  'node.list': 'GET /nodes',
  'node.get': 'GET /nodes/{node}',
  'node.plan': 'POST /nodes/plan',
  'node.up': 'POST /nodes',
  'node.down': 'POST /nodes/{node}/down',
  'node.delete': 'DELETE /nodes/{node}',
  'template.list': 'GET /templates',
  'template.get': 'GET /templates/{template}',
  'template.build': 'POST /templates',
  'template.delete': 'DELETE /templates/{template}',
  'template.prune': 'POST /templates/prune',
  'template.policy': 'PUT /images/{image}/template-policy',
  'vm.fork': 'POST /vms/{vm}/fork',
  'vm.suspend': 'POST /vms/{vm}/suspend',
  'node.fork': 'POST /nodes/{node}/fork',
  'node.save': 'POST /nodes/{node}/saves',
  'node.saves': 'GET /nodes/{node}/saves',
  'node.restore': 'POST /nodes/{node}/restore',
  'node.save.delete': 'DELETE /nodes/{node}/saves/{save}',
  'pool.list': 'GET /pools',
  'pool.set': 'PUT /pools/{image}',
  'host.usage': 'GET /host/usage',
  'network.list': 'GET /networks',
  'image.list': 'GET /images',
  'image.get': 'GET /images/{image}',
  'image.build': 'POST /images',
  'image.delete': 'DELETE /images/{image}',
  'task.list': 'GET /tasks',
  'task.get': 'GET /tasks/{task}',
  'task.log': 'GET /tasks/{task}/log',
  'task.cancel': 'POST /tasks/{task}/cancel',
  'task.watch': 'GET /tasks/{task}/watch',
  'event.list': 'GET /events',
  'event.follow': 'GET /events/follow',
};

/** '/vms/{vm}/start', {vm: 'shop/web'} -> {method: 'POST', path: '/v1/vms/shop%2Fweb/start'} */
export function routeOf(id: OperationId, params: Readonly<Record<string, string>> = {}) {
  const [method = '', path = ''] = ROUTES[id].split(' ');
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = params[name];
    if (value === undefined) throw new TypeError(`${id} needs the parameter ${name}`);
    return encodeURIComponent(value);
  });
  return { method, path: API_PREFIX + filled };
}
