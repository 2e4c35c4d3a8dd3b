import { COMPLETION_SCRIPTS, SHELLS } from '../completion/scripts.ts';
import type { Command } from '../grammar/index.ts';

export const completionCommand: Command = {
  group: '',
  verb: 'completion',
  positionals: [{ name: 'shell', value: 'SHELL', choices: SHELLS, summary: 'bash, zsh or fish' }],
  summary: 'A script that lets your shell complete commands, options and names',
  description:
    'Names (VMs, nodes, images, secrets, ...) come from the daemon if it runs; it is not started for them. For this shell ' +
    'only: `source <(skerry completion bash)`, in zsh the same, in fish `skerry completion fish | source`.',
  examples: [
    'skerry completion bash > ~/.local/share/bash-completion/completions/skerry',
    'skerry completion zsh > ~/.zfunc/_skerry',
    'skerry completion fish > ~/.config/fish/completions/skerry.fish',
  ],
  async run(_context, args) {
    process.stdout.write(COMPLETION_SCRIPTS[args.required('shell') as (typeof SHELLS)[number]]);
  },
};
