import type { NetworkSpec } from '@skerry/api';

/** What names a VM goes on meaning it when it is called otherwise. Pure. */

/** @returns the same object when the VM is not named in it */
export function withNewName(spec: NetworkSpec, before: string, after: string): NetworkSpec {
  const nicBefore = `${before}:eth`;
  const renamed = (name: string): string => (name === before ? after : name);
  const renamedNic = (nic: string): string =>
    nic.startsWith(nicBefore) ? `${after}:eth${nic.slice(nicBefore.length)}` : nic;
  const names = [
    ...(spec.forwards ?? []).map(({ vm }) => vm),
    ...(spec.acl?.rules ?? []).flatMap(({ from, to, nic = '' }) => [from, to, nic.replace(/:eth\d$/, '')]),
  ];
  if (!names.includes(before)) return spec;
  const { acl, forwards } = spec;
  return {
    ...spec,
    ...(forwards === undefined ? {} : { forwards: forwards.map((each) => ({ ...each, vm: renamed(each.vm) })) }),
    ...(acl === undefined
      ? {}
      : {
          acl: {
            ...acl,
            rules: acl.rules.map((rule) => ({
              ...rule,
              from: renamed(rule.from),
              to: renamed(rule.to),
              ...(rule.nic === undefined ? {} : { nic: renamedNic(rule.nic) }),
            })),
          },
        }),
  };
}
