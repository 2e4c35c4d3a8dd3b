import { describe, expect, test } from 'vitest';
import { LabelsInput, matchesSelector, parseSelector, SkerryError } from '../src/index.ts';

const front = { tier: 'front', env: 'test' };

describe('a selector', () => {
  test.each([
    ['tier=front', true],
    ['tier==front', true],
    ['tier = front', true],
    ['tier=back', false],
    ['tier!=back', true],
    ['tier!=front', false],
    ['nothing!=front', true],
    ['tier in (front,back)', true],
    ['tier in ( back , other )', false],
    ['tier notin (back)', true],
    ['nothing notin (back)', true],
    ['nothing in (back)', false],
    ['tier', true],
    ['!tier', false],
    ['nothing', false],
    ['!nothing', true],
    ['tier=front,env in (test,ci),!legacy', true],
    ['tier=front,env in (ci,prod)', false],
    ['toString', false],
    ['tier=', false],
  ])('%s: %s', (selector, matches) => {
    expect(matchesSelector(front, parseSelector(selector))).toBe(matches);
  });

  test('an empty value is a value', () => {
    expect(matchesSelector({ tier: '' }, parseSelector('tier='))).toBe(true);
  });

  test.each([
    '',
    ',',
    'tier=front,',
    '=front',
    '==',
    '!',
    'a b',
    'tier in front',
    'tier in (',
    'tier=a=b',
    'tier in (a b)',
    '-x',
  ])('%j is none, and it is said how one is written', (text) => {
    const error = (() => {
      try {
        parseSelector(text);
      } catch (thrown) {
        return thrown;
      }
      return undefined;
    })();
    expect(error).toBeInstanceOf(SkerryError);
    expect(error).toMatchObject({ code: 'invalid', remedy: expect.stringContaining('tier in (front,back)') });
  });
});

test.each([
  [{ tier: 'front' }, true],
  [{ 'example.org/tier': '' }, true],
  [{ tier: '前' }, false],
  [{ 'a=b': 'c' }, false],
  [{ a: 'b,c' }, false],
  [{ a: 'x'.repeat(64) }, false],
])('labels %j: %s, so that each can be selected', (labels, isGood) => {
  expect(LabelsInput.safeParse(labels).success).toBe(isGood);
});
