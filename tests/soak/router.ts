import { startTestHost } from '@skerry/testkit';
import { runPage } from '../system/page-runner.ts';

/** npm run soak -- router: the routers of examples/ do what their page says. Their image has to be built first. */

const BLOCK_TIMEOUT_MS = 15 * 60_000;

export async function soakRouter(): Promise<void> {
  await using host = await startTestHost();
  await runPage(host, 'examples/router/README.md', { blockTimeoutMs: BLOCK_TIMEOUT_MS });
}
