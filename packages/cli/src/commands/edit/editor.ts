import { spawn } from 'node:child_process';
import { SkerryError } from '@skerry/api/base';
import type { Context } from '../../terminal/index.ts';

const DEFAULT_EDITOR = 'vi';

/**
 * Has the user's editor open a file, and waits for its end. $VISUAL, else $EDITOR, else vi; words in it are arguments
 * (`code --wait`), and no shell reads them.
 * @throws SkerryError `failed` when it can't be started, or ends with another code than 0
 */
export async function openEditor(context: Context, path: string): Promise<void> {
  const { VISUAL, EDITOR } = process.env;
  const [program = DEFAULT_EDITOR, ...words] = (VISUAL?.trim() || EDITOR?.trim() || DEFAULT_EDITOR).split(/\s+/);
  // Ctrl-C is for the editor: it has the terminal.
  using _diverted = context.interrupts.divert(() => undefined);
  const ended = await new Promise<string | undefined>((resolve, reject) => {
    const editor = spawn(program, [...words, path], { stdio: 'inherit' });
    editor.once('error', (error) => reject(cannotStart(program, error)));
    editor.once('close', (code, signal) => resolve(code === 0 ? undefined : String(code ?? signal)));
  });
  if (ended === undefined) return;
  throw new SkerryError('failed', `The editor ${program} ended with ${ended}: nothing was changed`, {
    remedy: 'End it in the usual way to have the file taken.',
  });
}

function cannotStart(program: string, cause: Error): SkerryError {
  return new SkerryError('failed', `The editor ${program} can't be started: ${cause.message}`, {
    remedy: 'Name one that is installed: `EDITOR=nano skerry edit VM`.',
    cause,
  });
}
