/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />

/** `import { createVM, Skerry } from 'skerry'`: all of the SDK, as one package that programs install. */
export * from '@skerry/sdk';
