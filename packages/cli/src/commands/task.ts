import { formatDuration, hasTaskEnded, SkerryError, type Task } from '@skerry/api/base';
import type { Skerry } from '@skerry/sdk';
import type { Command, Positional } from '../grammar/index.ts';
import { type Column, padEnd, printable, shortId } from '../tables/index.ts';

const TASK: Positional = { name: 'task', value: 'TASK', summary: 'its id, or the end of it as the list shows it' };

const COLUMNS: ReadonlyArray<Column<Task>> = [
  { title: 'ID', of: ({ id }) => shortId(id) },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'TASK', of: ({ description }) => description },
  {
    title: 'PROGRESS',
    of: ({ state, progress, error }) => (state === 'running' ? progress?.message : error?.message),
    optional: true,
  },
  { title: 'TOOK', of: (task) => took(task) },
  { title: 'CREATED', of: ({ createdAt }) => createdAt },
  { title: 'KIND', of: ({ kind }) => kind, wide: true },
  { title: 'FULL-ID', of: ({ id }) => id, wide: true },
];

export const taskCommands: readonly Command[] = [
  {
    group: 'task',
    verb: 'list',
    aliases: ['ls'],
    options: [{ name: 'all', short: 'a', summary: 'also those that are long done' }],
    summary: 'Tasks, the newest first; the last 20',
    examples: ['skerry task list', 'skerry task list --all -o json'],
    async run(context, args) {
      const client = await context.client();
      const tasks = await client.call('task.list');
      await context.out.rows(args.flag('all') ? tasks : tasks.slice(0, 20), COLUMNS);
    },
  },
  {
    group: 'task',
    verb: 'show',
    aliases: ['info'],
    positionals: [TASK],
    summary: 'A task and what it wrote',
    examples: ['skerry task show 3f9c12ab'],
    async run(context, args) {
      const client = await context.client();
      const params = { task: await findTask(client, args.required('task')) };
      const [task, log] = await Promise.all([client.call('task.get', { params }), client.call('task.log', { params })]);
      await context.out.result({ ...task, log }, () => [
        ...taskLines(task),
        ...log.map(({ at, line }) => `  ${at}  ${printable(line)}`),
      ]);
    },
  },
  {
    group: 'task',
    verb: 'cancel',
    positionals: [TASK],
    summary: 'Cancel a task; it takes back what it did',
    examples: ['skerry task cancel 3f9c12ab'],
    async run(context, args) {
      const client = await context.client();
      const id = await findTask(client, args.required('task'));
      let task = await client.call('task.cancel', { params: { task: id } });
      if (!hasTaskEnded(task) && !context.noWait) {
        // How it ended is the answer, not an error of this command.
        await client.follow(task, { signal: context.signal }).catch(() => {});
        task = await client.call('task.get', { params: { task: id } });
      }
      await context.out.result(task, () => [`${task.description}: ${task.state}`]);
    },
  },
];

function taskLines(task: Task): string[] {
  const facts: Array<readonly [string, string | undefined]> = [
    ['task', task.description],
    ['id', task.id],
    ['state', task.cancelRequested && !hasTaskEnded(task) ? `${task.state}, being cancelled` : task.state],
    ['progress', task.progress?.message],
    ['error', task.error?.message],
    ['remedy', task.error?.remedy],
    ['target', task.target === undefined ? undefined : `${task.target.kind} ${task.target.name}`],
    ['created', task.createdAt],
    ['took', took(task)],
  ];
  return facts.flatMap(([name, value]) => (value ? [`${padEnd(`${name}:`, 11)}${printable(value)}`] : []));
}

function took({ startedAt, endedAt }: Task): string {
  if (startedAt === undefined) return '';
  return formatDuration((endedAt === undefined ? Date.now() : Date.parse(endedAt)) - Date.parse(startedAt));
}

/** @throws SkerryError `not-found`, `invalid` (several end so) */
async function findTask(client: Skerry, text: string): Promise<string> {
  if (text.length === 36) return text;
  const found = (await client.call('task.list')).filter(({ id }) => id.endsWith(text));
  const [task, other] = found;
  if (task === undefined)
    throw new SkerryError('not-found', `There is no task '${text}'`, { remedy: 'See `skerry task list --all`.' });
  if (other === undefined) return task.id;
  throw new SkerryError('invalid', `${found.length} tasks end with '${text}'`, {
    remedy: 'Give more of the id: `skerry task list -o wide`.',
  });
}
