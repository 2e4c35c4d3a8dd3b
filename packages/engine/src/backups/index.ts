export { createBackup, removeUnfinishedBackups, type BackupOptions, type BackupPorts } from './backup.ts';
export { BACKUP, STORE_FILE } from './contents.ts';
export { finishRestore } from './moves.ts';
export { restoreBackup, storeOfBackup, type RestoreOptions } from './restore.ts';
