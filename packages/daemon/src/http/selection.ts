import { matchesSelector, SelectorQuery, type Labels } from '@skerry/api';
import type { FastifyRequest } from 'fastify';

/** Those of a list that the request's selector matches; all without one. @throws SkerryError `invalid` */
export function selected<T extends { readonly labels: Labels }>(
  items: readonly T[],
  { query }: Pick<FastifyRequest, 'query'>,
): readonly T[] {
  const { selector } = SelectorQuery.parse(query);
  return selector === undefined ? items : items.filter(({ labels }) => matchesSelector(labels, selector));
}
