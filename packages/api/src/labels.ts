import { SkerryError } from './errors.ts';

/**
 * Labels, and selectors of things by their labels. The grammar of both is that of Kubernetes ("Labels and Selectors",
 * set-based and equality-based requirements), because that is what people and their tools know.
 */

const WORD = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/;
export const MAX_LABEL_LENGTH = 63;

export function isLabelKey(text: string): boolean {
  return text.length <= MAX_LABEL_LENGTH && WORD.test(text);
}

/** A value may be empty. */
export function isLabelValue(text: string): boolean {
  return text === '' || isLabelKey(text);
}

/** What is asked of one label. `exists` and `absent` have no values, all others at least one. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'in' | 'not-in' | 'exists' | 'absent';
  readonly values: readonly string[];
}

const SET = /^(?<key>\S+)\s+(?<operator>in|notin)\s*\((?<values>[^()]*)\)$/;
const EQUAL = /^(?<key>[^=!\s]+)\s*(?<operator>==?|!=)\s*(?<value>[^=!\s]*)$/;
const BARE = /^(?<not>!?)\s*(?<key>[^=!\s]+)$/;

/**
 * 'tier=front,env in (test, ci),!legacy' -> what has to hold, all of it.
 * @throws SkerryError `invalid`
 */
export function parseSelector(text: string): LabelRequirement[] {
  // Commas inside of parentheses separate values.
  return text.split(/,(?![^(]*\))/).map((part) => parseRequirement(part.trim(), text));
}

/** Whether labels are as a selector asks. Without the label `!=` and `notin` hold, as in Kubernetes. */
export function matchesSelector(
  labels: Readonly<Record<string, string>>,
  requirements: readonly LabelRequirement[],
): boolean {
  return requirements.every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'exists':
        return value !== undefined;
      case 'absent':
        return value === undefined;
      case 'in':
        return value !== undefined && values.includes(value);
      case 'not-in':
        return value === undefined || !values.includes(value);
    }
  });
}

function parseRequirement(part: string, whole: string): LabelRequirement {
  const set = SET.exec(part)?.groups;
  if (set !== undefined) {
    const values = (set['values'] ?? '').split(',').map((value) => value.trim());
    return requirement(set['key'], set['operator'] === 'in' ? 'in' : 'not-in', values, whole);
  }
  const equal = EQUAL.exec(part)?.groups;
  if (equal !== undefined) {
    return requirement(equal['key'], equal['operator'] === '!=' ? 'not-in' : 'in', [equal['value'] ?? ''], whole);
  }
  const bare = BARE.exec(part)?.groups;
  if (bare !== undefined) return requirement(bare['key'], bare['not'] === '!' ? 'absent' : 'exists', [], whole);
  throw noSelector(whole, part === '' ? 'a part of it is empty' : `'${part}' asks for nothing that is known`);
}

function requirement(
  key: string | undefined,
  operator: LabelRequirement['operator'],
  values: readonly string[],
  whole: string,
): LabelRequirement {
  if (key === undefined || !isLabelKey(key)) throw noSelector(whole, `'${key}' is no key of a label`);
  const wrong = values.find((value) => !isLabelValue(value));
  if (wrong !== undefined) throw noSelector(whole, `'${wrong}' is no value of a label`);
  return { key, operator, values };
}

function noSelector(text: string, why: string): SkerryError {
  return new SkerryError('invalid', `'${text}' does not select by labels: ${why}`, {
    remedy:
      "Write 'tier=front', 'tier!=front', 'tier in (front,back)', 'tier notin (back)', 'tier' or '!tier'; a comma is an `and`.",
  });
}
