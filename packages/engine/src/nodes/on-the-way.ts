import type { SavedNetwork, SaveManifest } from './manifest.ts';

/** Frames that were on their way when a node was saved: a restore goes on with them, or its guests would miss them. */

/** Network's id -> the guest's MAC as a number -> its frames. */
export type OnTheWay = Readonly<Record<string, NonNullable<SavedNetwork['onTheWay']>>>;

export interface NetworkNames {
  describe(name: string): Promise<SavedNetwork>;
  idOf(name: string): Promise<string>;
}

export function describeNetworks(
  networks: NetworkNames,
  names: readonly string[],
  kept: OnTheWay,
): Promise<SavedNetwork[]> {
  return Promise.all(
    names.map(async (name) => ({ ...(await networks.describe(name)), onTheWay: kept[await networks.idOf(name)] })),
  );
}

/** By the ids that they have now; of each network whose frames can be kept, also where there were none. */
export async function onTheWayOf(networks: NetworkNames, manifest: SaveManifest): Promise<OnTheWay> {
  const kept: Record<string, OnTheWay[string]> = {};
  for (const { name, status, onTheWay = {} } of manifest.networks)
    if (status.datapath === 'user') kept[await networks.idOf(name)] = onTheWay;
  return kept;
}
