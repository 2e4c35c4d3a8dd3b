import { nodeFileJsonSchema, OPERATIONS, vmFileJsonSchema } from '@skerry/api';
import { COMMANDS } from '../../packages/cli/src/commands/index.ts';
import { commandReference } from './commands.ts';
import { errorReference, operationReference } from './operations.ts';
import { waitingPage } from './waiting.ts';

/** What is in docs/reference, by file name: written out of the contract and the commands. */
export function references(): Map<string, string> {
  return new Map([
    ['api.md', operationReference(OPERATIONS)],
    ['commands.md', commandReference(COMMANDS)],
    ['errors.md', errorReference()],
    ['node-file.schema.json', `${JSON.stringify(nodeFileJsonSchema(), null, 2)}\n`],
    ['vm-file.schema.json', `${JSON.stringify(vmFileJsonSchema(), null, 2)}\n`],
    ['waiting.md', waitingPage()],
  ]);
}
