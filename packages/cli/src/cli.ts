import { SkerryError } from '@skerry/api/base';
import { Args, type Command, commandHelp, generalHelp, groupHelp, type OutputFormat, parse } from './grammar/index.ts';
import { Context, Output } from './terminal/index.ts';

/** @returns the exit code */
export async function runCommandLine(given: readonly string[]): Promise<number> {
  // What every program answers to, by the command's own name.
  const argv = given[0] === '--version' ? ['version', ...given.slice(1)] : given;
  try {
    const commands = await commandsFor(argv);
    const parsed = parse(argv, commands);
    if (parsed.kind === 'help') {
      const { command, group } = parsed;
      const help =
        command !== undefined
          ? commandHelp(command)
          : group !== undefined
            ? groupHelp(group, commands)
            : generalHelp(commands);
      process.stdout.write(`${help}\n`);
      return 0;
    }
    return await runParsed(parsed.command, parsed.args);
  } catch (error) {
    // Only the grammar throws here, before it is known what `-o` says: looked up by eye.
    new Output(formatIn(argv)).error(SkerryError.from(error));
    return SkerryError.from(error).exitCode;
  }
}

/** `exec` is what scripts call in loops, `connect` what each ssh starts: they come without the others, which take longer to load than the guest to answer. */
async function commandsFor([first]: readonly string[]): Promise<readonly Command[]> {
  if (first === 'exec') return [(await import('./commands/vm-exec.ts')).execCommand];
  if (first === 'connect') return [(await import('./commands/connect.ts')).connectCommand];
  return (await import('./commands/index.ts')).COMMANDS;
}

async function runParsed(command: Command, args: Args): Promise<number> {
  using context = new Context(args);
  try {
    return (await command.run(context, args)) ?? 0;
  } catch (error) {
    context.progress.clear();
    const known = SkerryError.from(error);
    context.out.error(known);
    if (known.code === 'internal' && process.env['SKERRY_DEBUG']) console.error(error);
    return known.exitCode;
  }
}

function formatIn(argv: readonly string[]): OutputFormat {
  const at = argv.findIndex((token) => token === '-o' || token === '--output');
  return at !== -1 && argv[at + 1] === 'json' ? 'json' : 'table';
}
