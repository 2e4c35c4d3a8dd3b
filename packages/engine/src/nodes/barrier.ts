/** Where several wait for each other: all go on together once the last has come, or none does. */
export class Barrier {
  readonly #open = Promise.withResolvers<void>();
  readonly #whenAllAreThere: () => Promise<void>;
  #missing: number;

  /** @param whenAllAreThere is done before the first goes on */
  constructor(count: number, whenAllAreThere: () => Promise<void>) {
    this.#missing = count;
    this.#whenAllAreThere = whenAllAreThere;
    this.#open.promise.catch(() => undefined);
  }

  arrive(): Promise<void> {
    this.#missing -= 1;
    if (this.#missing === 0) this.#whenAllAreThere().then(this.#open.resolve, this.#open.reject);
    return this.#open.promise;
  }

  /** One of them will never come. */
  abort(error: unknown): void {
    this.#open.reject(error);
  }
}

/** Starts all of them, each with the barrier on its way. @throws what the first failure was, once all are over */
export async function startTogether(
  starts: ReadonlyArray<(beforeThaw: () => Promise<void>) => Promise<unknown>>,
  whenAllAreThere: () => Promise<void>,
): Promise<void> {
  const barrier = new Barrier(starts.length, whenAllAreThere);
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    starts.map(async (start) => {
      try {
        await start(() => barrier.arrive());
      } catch (error) {
        failure ??= { error };
        barrier.abort(error);
      }
    }),
  );
  if (failure !== undefined) throw failure.error;
}
