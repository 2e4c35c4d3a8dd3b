import { TemplatePolicy } from '@skerry/api';
import { MapFile } from '../store/index.ts';

/** Which images are cloned from templates; `auto` for those that the file does not name. */
export class TemplatePolicies {
  readonly #file: MapFile<TemplatePolicy>;

  constructor(path: string) {
    this.#file = new MapFile({ path, field: 'policies', parse: (value) => TemplatePolicy.parse(value) });
  }

  async of(image: string): Promise<TemplatePolicy> {
    return (await this.#file.all()).get(image) ?? 'auto';
  }

  async eager(): Promise<string[]> {
    return [...(await this.#file.all())].flatMap(([image, policy]) => (policy === 'eager' ? [image] : []));
  }

  set(image: string, policy: TemplatePolicy): Promise<void> {
    return this.#file.set(image, policy === 'auto' ? undefined : policy);
  }
}
