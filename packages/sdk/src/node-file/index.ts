import type { ImportedNode, ImportOptions } from '../import/index.ts';
import type { LoadedNodeFile, LoadOptions } from './load-node-file.ts';
import type { ImageRecipe, Vm, VmDeclaration } from '@skerry/api/base';
import type { Declaration } from './load-declarations.ts';

/** Loaded when a file is: the schemas and the YAML parser take longer to load than a short program to run. */

export type { Declaration } from './load-declarations.ts';
export type { Finding, FindingKind, ImportedNode, ImportOptions } from '../import/index.ts';
export type { LoadedNodeFile } from './load-node-file.ts';

/** @throws as `loadNodeFile` of `load-node-file.ts` */
export async function loadNodeFile(path: string, options: LoadOptions = {}): Promise<LoadedNodeFile> {
  return (await import('./load-node-file.ts')).loadNodeFile(path, options);
}

/** @throws as `loadDeclarations` of `load-declarations.ts` */
export async function loadDeclarations(path: string): Promise<Declaration[]> {
  return (await import('./load-declarations.ts')).loadDeclarations(path);
}

/** A VM's file, as `loadDeclarations` reads it back. */
export async function vmFileText(vm: Vm, format: 'yaml' | 'json' = 'yaml'): Promise<string> {
  return (await import('./write-vm-file.ts')).vmFileText(vm, format);
}

/** What a VM is declared to be, as a base for what is applied later. */
export async function declarationOf(vm: Vm): Promise<VmDeclaration> {
  return (await import('@skerry/api')).declarationOf(vm);
}

/** @throws as `importNodeFile` of `../import/import-file.ts` */
export async function importNodeFile(path: string, options: ImportOptions = {}): Promise<ImportedNode> {
  return (await import('../import/index.ts')).importNodeFile(path, options);
}

/** @throws as `loadRecipe` of `load-recipe.ts` */
export async function loadRecipe(path: string): Promise<ImageRecipe> {
  return (await import('./load-recipe.ts')).loadRecipe(path);
}
