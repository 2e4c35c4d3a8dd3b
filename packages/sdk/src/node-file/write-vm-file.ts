import { declarationOf, vmFileOf, type Vm } from '@skerry/api';
import { stringify } from 'yaml';

/** What `loadDeclarations` reads back as the same VM. */
export function vmFileText(vm: Vm, format: 'yaml' | 'json'): string {
  const file = vmFileOf(declarationOf(vm));
  // Lines are not folded: a command is one line to who reads it.
  return format === 'json' ? `${JSON.stringify(file, undefined, 2)}\n` : stringify(file, { lineWidth: 0 });
}
