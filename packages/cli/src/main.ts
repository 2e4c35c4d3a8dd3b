import { asSkerry } from './grammar/programs.ts';
import { runHot } from './hot/index.ts';

// A reader that has seen enough (`skerry list | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const argv = asSkerry(process.env['SKERRY_PROGRAM'], process.argv.slice(2));
if (argv[0] === '__complete') {
  const { complete } = await import('./completion/index.ts');
  process.stdout.write(await complete(argv.slice(1)).catch(() => ''), () => process.exit(0));
} else if (!(await runHot(argv))) {
  const { runCommandLine } = await import('./cli.ts');
  const exitCode = await runCommandLine(argv);
  // What a slow reader has not taken yet is still ours.
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((taken) => stream.write('', taken))));
  // Not left to the end of the event loop: a standard input that is still open would keep it going.
  process.exit(exitCode);
}
