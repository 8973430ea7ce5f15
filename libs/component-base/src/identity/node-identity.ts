// Names of node identities. A kubelet of one node is system:node:<name> in group system:nodes. A process that packs many
// simulated kubelets is system:node-pack:<prefix><first>-<last> in group system:node-packs, and may act only for the nodes
// <prefix><first> … <prefix><last>. Node authorization: `identityCoversNode(username, node)` must hold for a Node, its
// status, its Lease (kube-node-lease/<node>), and the status or deletion of a Pod whose spec.nodeName is that node.

export const NODES_GROUP = "system:nodes";
export const NODE_PACKS_GROUP = "system:node-packs";

const NODE = "system:node:";
const PACK = "system:node-pack:";

export interface NodePack {
  readonly prefix: string;
  /** Numbers at the end of the node names, both included. */
  readonly first: number;
  readonly last: number;
}

export function nodeUsername(node: string): string {
  return `${NODE}${node}`;
}

export function nodePackUsername(pack: NodePack): string {
  return `${PACK}${pack.prefix}${pack.first}-${pack.last}`;
}

/** The pack that a user name stands for; undefined where it is none. */
export function parseNodePack(username: string): NodePack | undefined {
  const match = username.startsWith(PACK) ? /^(.*?)(\d+)-(\d+)$/.exec(username.slice(PACK.length)) : null;
  if (match === null) return undefined;
  const [, prefix = "", first = "", last = ""] = match;
  return { prefix, first: Number(first), last: Number(last) };
}

/** Whether the user name stands for a node or a pack; a member of one of the groups may have any other. */
export function isNodeUsername(username: string): boolean {
  return (username.startsWith(NODE) && username.length > NODE.length) || parseNodePack(username) !== undefined;
}

/** May this identity act for the node? False for users that are no node identity at all. */
export function identityCoversNode(username: string, node: string): boolean {
  if (username.startsWith(NODE)) return username.slice(NODE.length) === node;
  const pack = parseNodePack(username);
  if (pack === undefined || !node.startsWith(pack.prefix)) return false;
  const digits = node.slice(pack.prefix.length);
  if (!/^(0|[1-9]\d*)$/.test(digits)) return false;
  const index = Number(digits);
  return index >= pack.first && index <= pack.last;
}
