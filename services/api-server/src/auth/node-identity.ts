// Tells kubelets and packs of simulated kubelets among the users, and for which nodes each may act.
import type { UserInfo } from "@coxswain/component-base";
import {
  identityCoversNode,
  isNodeUsername,
  NODE_PACKS_GROUP,
  NODES_GROUP,
  parseNodePack,
} from "@coxswain/component-base/identity/node-identity";

export interface NodeIdentity {
  /** What follows the prefix of the user name: the node's name, or the pack's. */
  readonly name: string;
  /** Stands in the name of every node that it covers. */
  readonly mention: string;
  covers(node: string): boolean;
}

export function isNode({ groups }: UserInfo): boolean {
  return groups.includes(NODES_GROUP) || groups.includes(NODE_PACKS_GROUP);
}

/** Of a member of one of the groups: whether its user name tells for which nodes it acts. */
export function isKnownNode({ username }: UserInfo): boolean {
  return isNodeUsername(username);
}

/** Undefined for users in neither group. A member of one whose user name fits neither form covers no node. */
export function nodeIdentityOf(user: UserInfo): NodeIdentity | undefined {
  if (!isNode(user)) return undefined;
  const { username } = user;
  const name = username.slice(username.lastIndexOf(":") + 1);
  return {
    name,
    mention: parseNodePack(username)?.prefix ?? name,
    covers: (node) => identityCoversNode(username, node),
  };
}
