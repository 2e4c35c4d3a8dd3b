import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** What a short command must not load: `skerry exec` has 150 ms, of which these took more than a third. */
const SLOW = ['zod', 'yaml'];

const SCRIPT = `
  import { registerHooks } from 'node:module';
  const slow = ${JSON.stringify(SLOW)};
  registerHooks({
    resolve(specifier, context, next) {
      if (slow.includes(specifier)) throw new Error(specifier + ' is loaded by ' + context.parentURL);
      return next(specifier, context);
    },
  });
  await import(process.argv[1]);
  await import('@skerry/sdk');
  const undici = process.moduleLoadList.find((each) => each.includes('undici'));
  if (undici !== undefined) throw new Error(undici + ' is loaded: is node:http imported?');
`;

test.each(['../src/cli.ts', '../src/commands/index.ts'])(
  '%s and the SDK load neither schemas nor YAML nor undici',
  async (file) => {
    const url = new URL(file, import.meta.url).href;
    const options = ['--conditions=source', '--disable-warning=ExperimentalWarning', '--input-type=module'];
    const run = promisify(execFile)(process.execPath, [...options, '-e', SCRIPT, url], { cwd: import.meta.dirname });
    await expect(run).resolves.toMatchObject({ stderr: '' });
  },
);
