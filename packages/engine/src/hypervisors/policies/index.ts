export { apparmorProfile, pathInFileSystem, profileName, serverProfile, type ProfileInput } from './apparmor-plan.ts';
export { Policies, type PolicyOptions } from './policies.ts';
export { categoriesOf, selinuxLabels, type SelinuxLabels } from './selinux-plan.ts';
