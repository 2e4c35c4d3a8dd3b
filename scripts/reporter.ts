import { writeSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends a run with exactly one last line, `N passed, N failed`, alone on the line: CI reads it. A file that could not be
 * loaded, a failed hook and an error outside of any test count as failures; a run in which nothing was executed fails.
 */
export default class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[], reason: string): void {
    let passed = 0;
    let failed = errors.length;
    for (const module of modules) {
      let failedHere = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed += 1;
        if (state === 'failed') failedHere += 1;
      }
      failed += Math.max(failedHere, module.state() === 'failed' ? 1 : 0);
    }
    // Vitest prints more after this hook (a summary, a hanging close): only at exit is a line the last one.
    process.once('exit', (code) => {
      if (code === 0 && (passed + failed === 0 || failed > 0 || reason !== 'passed')) process.exitCode = 1;
      writeSync(1, `\n${passed} passed, ${failed} failed\n`);
    });
  }
}
