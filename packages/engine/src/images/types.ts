/** Where images come from and go to; all of it is given by the caller. */
export interface ImagePaths {
  /** Kernels, package lists, downloaded packages, initramfs files: all of it can be made again. */
  readonly cacheDir: string;
  /** The catalogue: a directory per image. */
  readonly imagesDir: string;
  /** The repository's `guest/`: kernel configuration, patch, base files. */
  readonly guestDir: string;
  /** The static guest agent. */
  readonly agentBinary: string;
}

/** Fits TaskContext.progress. The fraction is 0..1, absent while nobody can say. */
export type ImageProgress = (message: string, fraction?: number) => void;

export interface BuildOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ImageProgress | undefined;
}

/** The signal as `run` takes it. */
export function signalOf(options: BuildOptions): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}
