export default { test: { include: ['*.spec.js', '*.spec.ts'], testTimeout: 60_000 } };
