export { CREDENTIAL_NAME, KeyRing, type KeyPlaces } from './keys.ts';
export type { GuestSecretFile, GuestSecrets } from './plan.ts';
export { SECRET_KIND, SecretService, type SecretPorts, type SecretSpec } from './service.ts';
