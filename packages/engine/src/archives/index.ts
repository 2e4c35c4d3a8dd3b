export { type ArchiveKind, type Manifest } from './manifest.ts';
export { Archive, openArchive, type ArchiveWork } from './read.ts';
export { assertWritable, syncPath, writeArchive, type ArchiveWish } from './write.ts';
