import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { SkerryError, type Vm, type VmChanged, type VmDeclaration } from '@skerry/api/base';
import type { Command } from '../../grammar/index.ts';
import type { Context } from '../../terminal/index.ts';
import { doTask } from '../do-task.ts';
import { VM } from '../vm-parameters.ts';
import { showChange } from '../vm-set.ts';
import { openEditor } from './editor.ts';

export const editCommand: Command = {
  group: 'vm',
  verb: 'edit',
  positionals: [VM],
  summary: 'Change the file of a VM in your editor ($VISUAL, $EDITOR, else vi)',
  description: 'What is wrong in it is told with line and column, and nothing is lost: it is opened again, or kept.',
  examples: ['skerry edit web-vm', 'EDITOR="code --wait" skerry edit web-vm'],
  async run(context, args) {
    const client = await context.client();
    const vm = await client.call('vm.get', { params: { vm: args.required('vm') } });
    const slash = vm.name.indexOf('/');
    if (slash !== -1) {
      throw new SkerryError('refused', `${vm.name} belongs to the node ${vm.name.slice(0, slash)}, which declares it`, {
        remedy: `Change it in the file of ${vm.name.slice(0, slash)}, then type \`skerry up FILE\`.`,
      });
    }
    const directory = await mkdtemp(join(tmpdir(), 'skerry-edit-'));
    const path = join(directory, `${vm.name}.yaml`);
    const { declarationOf, vmFileText } = await import('@skerry/sdk/node-file');
    const before = `${HEAD}${await vmFileText(vm)}`;
    const base = await declarationOf(vm);
    // It may hold what is nobody else's business.
    await writeFile(path, before, { mode: 0o600 });
    let done: VmChanged | undefined;
    try {
      done = await untilRight(context, { path, before, vm, base });
    } catch (error) {
      throw await kept(path, before, SkerryError.from(error));
    }
    await rm(directory, { recursive: true, force: true });
    if (done === undefined) context.out.note(`${vm.name}: nothing was changed`);
    else await showChange(context, done);
  },
};

const HEAD = `# What this VM is asked to be. Lines that begin with # mean nothing; an unchanged file changes nothing.\n`;

interface Edit {
  readonly path: string;
  readonly before: string;
  readonly vm: Vm;
  readonly base: VmDeclaration;
}

/** Opens it, and on a terminal again as long as it is wrong. @returns undefined when there is nothing to do */
async function untilRight(context: Context, edit: Edit): Promise<VmChanged | undefined> {
  for (;;) {
    await openEditor(context, edit.path);
    if ((await readFile(edit.path, 'utf8')) === edit.before) return undefined;
    try {
      return await applied(context, edit);
    } catch (error) {
      const known = SkerryError.from(error);
      // One that lost a race would lose it again.
      if (known.code === 'conflict' || !(await editAgain(context, known))) throw known;
    }
  }
}

async function applied(context: Context, { path, vm, base }: Edit): Promise<VmChanged | undefined> {
  const { loadDeclarations } = await import('@skerry/sdk/node-file');
  const [declaration, ...others] = await loadDeclarations(path);
  if (declaration?.kind !== 'VM' || others.length > 0) {
    throw new SkerryError('invalid', `${path} is to be about the VM ${vm.name} alone`, {
      remedy: 'Several things at once are applied by `skerry apply -f FILE`.',
    });
  }
  if (declaration.name !== vm.name) {
    throw new SkerryError('invalid', `${path}: the name is ${declaration.name}, and was ${vm.name}`, {
      remedy: `Leave it as it was; \`skerry rename ${vm.name} ${declaration.name}\` changes it.`,
    });
  }
  return await doTask(context, vm.name, 'vm.apply', { body: { vm: declaration.vm, base } });
}

async function editAgain(context: Context, error: SkerryError): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
  context.out.error(error);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return !/^n/i.test((await lines.question('Edit it again? [Y/n] ', { signal: context.signal })).trim());
  } finally {
    lines.close();
  }
}

/** What was written is not lost with the attempt. */
async function kept(path: string, before: string, error: SkerryError): Promise<SkerryError> {
  const text = await readFile(path, 'utf8').catch(() => before);
  if (text === before) {
    await rm(join(path, '..'), { recursive: true, force: true });
    return error;
  }
  const advice = error.code === 'conflict' ? 'To have it all the same' : 'Once it is right';
  return new SkerryError(error.code, error.message, {
    remedy: `${error.remedy ?? ''}\nWhat you wrote is in ${path}. ${advice}: \`skerry apply -f ${path}\`.`.trim(),
    details: { ...error.details, file: path },
    cause: error,
  });
}
