// How nodes are called: pure. A node's number is its place in address ranges, and is used again when it has gone.

/** The node with this number, from 1. */
export const nodeName = (number: number): string => `node-${number}`;

/** The number of "node-7"; undefined for other names. */
export function nodeNumber(name: string): number | undefined {
  const digits = /^node-([1-9]\d*)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

const SCHEME = "coxswain://";

/** spec.providerID of a node of a cluster with a node provider. */
export const providerId = (cluster: string, node: string): string => `${SCHEME}${cluster}/${node}`;

/** The node that a provider ID of this cluster is about; undefined for all others. */
export function nodeOfProviderId(cluster: string, id: string): string | undefined {
  const prefix = `${SCHEME}${cluster}/`;
  if (!id.startsWith(prefix)) return undefined;
  const name = id.slice(prefix.length);
  return nodeNumber(name) === undefined ? undefined : name;
}
