export { importNodeFile } from './import-file.ts';
export type { ImportedNode, ImportOptions } from './import-file.ts';
export type { Finding, FindingKind } from './findings.ts';
