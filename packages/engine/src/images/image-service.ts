import {
  isBuiltIn,
  SkerryError,
  type Image as ApiImage,
  type BundleCreate,
  type BundleLoadResult,
  type BundleResult,
  type ImageBuild,
  type ImageRecipe,
  type Vm,
  type VmSpec,
} from '@skerry/api';
import type { BootFiles, VmImages, WorkOptions } from '../vms/index.ts';
import { buildMicro, buildMicroSsh, buildRecipe, findBuilt } from './build.ts';
import type { BootBuilder } from './builder.ts';
import { createBundle } from './bundle.ts';
import { loadBundle } from './bundle-load.ts';
import { openCatalogue, type Image } from './catalogue.ts';
import { buildInitrd } from './initrd.ts';
import { buildKernel, findKernel } from './kernel.ts';
import type { Kernel } from './kernel-plan.ts';
import { SSH_SERVER_PACKAGE } from './ssh-plan.ts';
import type { ImagePaths } from './types.ts';

/** Images for those who use them: what is built in is made when it is first needed, and kernels change under way. */

export interface ImageServicePorts {
  readonly paths: ImagePaths;
  readonly bootBuilder: BootBuilder;
  readonly vms: () => Promise<readonly Vm[]>;
  /** A save of a node whose disks lie on the image. */
  readonly saveOn: (digest: string) => Promise<{ readonly node: string; readonly name: string } | undefined>;
  /** Our kernel is built in the background by itself. */
  readonly onBackground: (state: 'started' | 'done' | 'failed', message: string) => void;
}

export class ImageService implements VmImages {
  readonly #ports: ImageServicePorts;
  readonly #background = new AbortController();
  #backgroundBuild: Promise<void> | undefined;
  /** What a start needs of a kernel, by its hash: unchanged while the daemon runs. */
  readonly #initrds = new Map<string, string>();

  constructor(ports: ImageServicePorts) {
    this.#ports = ports;
  }

  async list(): Promise<ApiImage[]> {
    const images = await openCatalogue(this.#ports.paths.imagesDir).list();
    const kernel = await this.#kernelInUse();
    return images.map((image) => apiImage(image, kernel));
  }

  async get(ref: string): Promise<ApiImage> {
    return apiImage(await openCatalogue(this.#ports.paths.imagesDir).get(ref), await this.#kernelInUse());
  }

  async bootFiles(
    spec: Pick<VmSpec, 'image' | 'kernel'>,
    digest: string | undefined,
    work: WorkOptions,
  ): Promise<BootFiles> {
    const image = await this.#image(spec.image, digest, work);
    const kernel = await this.#kernel(spec.kernel, work);
    return {
      kernel: {
        which: kernel.kind,
        path: kernel.path,
        initrdPath: await this.#initrd(kernel, work),
        patched: kernel.patched,
        machine: kernel.machine,
      },
      kernelMinMemoryMib: kernel.minMemoryMib,
      image: {
        digest: image.digest,
        disk: { path: image.rootDiskPath, format: image.rootDisk.format, readonly: true },
        virtualSizeBytes: image.rootDisk.virtualSizeBytes,
        minMemoryMib: image.minMemoryMib,
        env: image.env,
        command: image.command,
      },
    };
  }

  /** Digest that a new VM would get; undefined when it has to be built first. Asks no package manager. */
  async digestOf(name: string, recipe: ImageRecipe | undefined): Promise<string | undefined> {
    const { paths } = this.#ports;
    if (recipe !== undefined) return (await findBuilt(paths, recipe))?.digest;
    return (await openCatalogue(paths.imagesDir).find(name))?.digest;
  }

  /** @throws SkerryError `not-found` for a name that is neither built in nor given with a recipe */
  async ensure(name: string, recipe: ImageRecipe | undefined, work: WorkOptions): Promise<void> {
    if (recipe !== undefined) await this.#buildRecipe(recipe, {}, work);
    else await this.#image(name, undefined, work);
  }

  async build({ target, name, kernel, format }: ImageBuild, work: WorkOptions): Promise<ApiImage> {
    const { paths } = this.#ports;
    const how = { format, ...(name === undefined ? {} : { name }) };
    if (target === 'micro-ssh')
      return apiImage(await buildMicroSsh(paths, { ...work, ...how }), await this.#kernelInUse());
    if (target !== 'micro') return apiImage(await this.#buildRecipe(target, how, work), await this.#kernelInUse());
    const built = await buildKernel(paths, kernel, work);
    await this.#initrd(built, work);
    const image = await buildMicro(paths, { ...work, ...how });
    return apiImage(image, built.kind);
  }

  /**
   * What a VM is made from that shall have an ssh server: instead of `micro` its variant, else the image itself.
   * @throws SkerryError `not-found`, `unsupported` (it has none)
   */
  async withSsh(name: string): Promise<string> {
    if (isBuiltIn(name)) return 'micro-ssh';
    const image = await openCatalogue(this.#ports.paths.imagesDir).get(name);
    if (SSH_SERVER_PACKAGE in image.packages) return name;
    throw new SkerryError('unsupported', `The image '${name}' has no ssh server`, {
      remedy: 'Write `ssh: true` in its recipe and build it again, or leave --ssh out: `skerry shell` needs no server.',
    });
  }

  /** @throws SkerryError `not-found`, `in-use` */
  async delete(ref: string): Promise<void> {
    const catalogue = openCatalogue(this.#ports.paths.imagesDir);
    const image = await catalogue.get(ref);
    const user = (await this.#ports.vms()).find(
      ({ status }) => status.imageDigest === image.digest || status.previous?.imageDigest === image.digest,
    );
    if (user !== undefined) {
      throw new SkerryError('in-use', `The disk of ${user.name} lies on the image '${image.name}'`, {
        remedy: `Delete the VM first: \`skerry delete ${user.name}\`.`,
      });
    }
    const save = await this.#ports.saveOn(image.digest);
    if (save !== undefined) {
      throw new SkerryError('in-use', `The save ${save.name} of ${save.node} has disks on the image '${image.name}'`, {
        remedy: `Delete the save first: \`skerry node delete-save ${save.node} ${save.name}\`.`,
      });
    }
    await catalogue.delete(image.digest);
  }

  /**
   * Writes a file with all that VMs of these images need beside QEMU and Skerry. What is built in, or declared by a node with its
   * recipe, is built first if it is not there.
   * @throws SkerryError `not-found` (image), `conflict` (the file is there), and what building throws
   */
  async createBundle(wanted: BundleCreate, version: string, work: WorkOptions): Promise<BundleResult> {
    const { paths } = this.#ports;
    const catalogue = openCatalogue(paths.imagesDir);
    const images: Image[] = [];
    for (const ref of wanted.images)
      images.push(isBuiltIn(ref) ? await this.#image(ref, undefined, work) : await catalogue.get(ref));
    for (const { spec } of wanted.nodes) {
      for (const name of new Set(Object.values(spec.vms).map(({ image }) => image))) {
        const recipe = spec.recipes[name];
        images.push(
          recipe === undefined ? await this.#image(name, undefined, work) : await this.#buildRecipe(recipe, {}, work),
        );
      }
    }
    if (wanted.images.length + wanted.nodes.length === 0) images.push(...(await catalogue.list()));
    if (images.length === 0) images.push(await this.#image('micro', undefined, work));
    const kernels = [await findKernel(paths, 'micro'), await findKernel(paths, 'distro')].filter(
      (kernel) => kernel !== undefined,
    );
    if (kernels.length === 0) kernels.push(await this.#kernel('auto', work));
    return createBundle(paths, { to: wanted.to, force: wanted.force, version, images, kernels }, work);
  }

  /** @throws SkerryError what `loadBundle` throws */
  async loadBundle(from: string, work: WorkOptions): Promise<BundleLoadResult> {
    const result = await loadBundle(this.#ports.paths, from, work);
    this.#initrds.clear();
    return result;
  }

  /** Builds our kernel beside everything else, unless it is there. */
  buildKernelInBackground(): void {
    if (this.#backgroundBuild !== undefined || this.#background.signal.aborted) return;
    const { paths, onBackground } = this.#ports;
    this.#backgroundBuild = (async () => {
      if ((await findKernel(paths, 'micro')) !== undefined) return;
      onBackground(
        'started',
        'our guest kernel is being built; until then VMs start with the slower one of the distribution',
      );
      const kernel = await buildKernel(paths, 'micro', { signal: this.#background.signal });
      await this.#initrd(kernel, {});
      onBackground('done', `our guest kernel ${kernel.release} is built: VMs that start from now on use it`);
    })().catch((error: unknown) => {
      if (!this.#background.signal.aborted) onBackground('failed', SkerryError.from(error).message);
    });
  }

  async close(): Promise<void> {
    this.#background.abort();
    await this.#backgroundBuild;
  }

  async #image(name: string, digest: string | undefined, work: WorkOptions): Promise<Image> {
    const catalogue = openCatalogue(this.#ports.paths.imagesDir);
    const found = await catalogue.find(digest ?? name);
    if (found !== undefined) return found;
    if (digest !== undefined) {
      throw new SkerryError('not-found', `The image that this disk lies on is gone (${name}, ${digest.slice(0, 12)})`, {
        remedy: 'Delete the VM and create it anew; its disk can not be read without its image.',
      });
    }
    if (!isBuiltIn(name)) {
      throw new SkerryError('not-found', `There is no image '${name}'`, {
        remedy:
          'See `skerry image list`; `micro` and `micro-ssh` are built in, others are built with `skerry image build RECIPE`.',
      });
    }
    return name === 'micro' ? buildMicro(this.#ports.paths, work) : buildMicroSsh(this.#ports.paths, work);
  }

  /** Ours when it is there; else the distribution's, while ours is built in the background. */
  async #kernel(which: VmSpec['kernel'], work: WorkOptions): Promise<Kernel> {
    const { paths } = this.#ports;
    if (which !== 'distro') {
      const micro = await findKernel(paths, 'micro');
      if (micro !== undefined) return micro;
      if (which === 'micro') return buildKernel(paths, 'micro', work);
      this.buildKernelInBackground();
    }
    return (await findKernel(paths, 'distro')) ?? (await buildKernel(paths, 'distro', work));
  }

  async #kernelInUse(): Promise<ApiImage['kernel']> {
    const { paths } = this.#ports;
    if ((await findKernel(paths, 'micro')) !== undefined) return 'micro';
    return (await findKernel(paths, 'distro')) === undefined ? 'none' : 'distro';
  }

  async #initrd(kernel: Kernel, work: WorkOptions): Promise<string> {
    const known = this.#initrds.get(kernel.hash);
    if (known !== undefined) return known;
    const { path } = await buildInitrd(this.#ports.paths, kernel, work);
    this.#initrds.set(kernel.hash, path);
    return path;
  }

  #buildRecipe(
    recipe: ImageRecipe,
    how: { name?: string | undefined; format?: 'qcow2' | 'raw' | undefined },
    work: WorkOptions,
  ): Promise<Image> {
    const { paths, bootBuilder } = this.#ports;
    const named = how.name === undefined ? recipe : { ...recipe, name: how.name };
    return buildRecipe(paths, named, { ...work, bootBuilder, format: how.format });
  }
}

function apiImage(image: Image, kernel: ApiImage['kernel']): ApiImage {
  return {
    name: image.name,
    digest: image.digest,
    ...(image.from === null ? {} : { from: image.from }),
    sizeBytes: image.sizeBytes,
    virtualSizeBytes: image.rootDisk.virtualSizeBytes,
    format: image.rootDisk.format,
    minMemoryMib: image.minMemoryMib,
    kernel,
    ...(image.command === undefined ? {} : { command: [...image.command] }),
    packages: Object.entries(image.packages).map(([name, version]) => `${name}=${version}`),
    createdAt: image.createdAt,
  };
}
