// node scripts/modules-match.mjs ROOT: exit code 0 when node_modules is a finished install of package-lock.json.
// npm writes node_modules/.package-lock.json as the last act of an install, so a half-done one does not match. Plain
// JavaScript: runs before anything is set up.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = process.argv[2] ?? '.';
const packagesOf = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
const wanted = packagesOf('package-lock.json');
const installed = packagesOf('node_modules/.package-lock.json');

const differs = Object.entries(wanted).some(([path, entry]) => {
  if (!path.includes('node_modules/')) return false; // ourselves: the workspaces
  const there = installed[path];
  // Optional packages are for other platforms where they are absent.
  if (there === undefined) return entry.optional !== true;
  return there.version !== entry.version || there.integrity !== entry.integrity;
});
process.exit(differs ? 1 : 0);
