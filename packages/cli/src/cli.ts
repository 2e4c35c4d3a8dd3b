import { SkerryError } from '@skerry/api';
import { COMMANDS } from './commands/index.ts';
import { Args, commandHelp, generalHelp, groupHelp, type OutputFormat, parse } from './grammar/index.ts';
import { Context, Output } from './terminal/index.ts';

/** @returns the exit code */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  try {
    const parsed = parse(argv, COMMANDS);
    if (parsed.kind === 'help') {
      const { command, group } = parsed;
      const help =
        command !== undefined
          ? commandHelp(command)
          : group !== undefined
            ? groupHelp(group, COMMANDS)
            : generalHelp(COMMANDS);
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

async function runParsed(command: (typeof COMMANDS)[number], args: Args): Promise<number> {
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
