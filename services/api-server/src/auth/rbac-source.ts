// Keeps an RbacIndex in step with the watch cache. Guarantees: a question asked after a change reached this process's
// cache is answered with it; between changes a question costs no look at the cache.
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES } from "@coxswain/api";
import type { ResourceRef } from "@coxswain/apimachinery";
import type { AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";
import type { Authorizer, VersionedObject } from "../pipeline/contract.ts";
import type { ChainLink } from "./authorizer-chain.ts";
import { createEscalationCheck } from "./escalation.ts";
import { createRbacAuthorizer } from "./rbac-authorizer.ts";
import type { RbacIndex } from "./rbac-index.ts";
import { createRbacIndex } from "./rbac-index.ts";

const RBAC_RESOURCES = [ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS] as const;

export interface Rbac {
  readonly link: ChainLink;
  /** Refuses writes of roles and bindings that would grant more than the writer has, but for whom `authorizer` lets. */
  escalationPlugin(authorizer: Authorizer): AdmissionPlugin;
}

interface Follower {
  refresh(): void;
}

function follow(source: ObjectSource, ref: ResourceRef, index: RbacIndex): Follower {
  const known = new Map<string, VersionedObject>();
  let dirty = true;
  source.onChange(ref, () => {
    dirty = true;
  });
  return {
    refresh() {
      if (!dirty) return;
      dirty = false;
      const gone = new Set(known.keys());
      for (const item of source.list(ref)) {
        const key = `${item.namespace}/${item.name}`;
        gone.delete(key);
        if (known.get(key)?.rv === item.rv) continue;
        known.set(key, item);
        index.apply("MODIFIED", item.object);
      }
      for (const key of gone) {
        const item = known.get(key);
        known.delete(key);
        if (item !== undefined) index.apply("DELETED", item.object);
      }
    },
  };
}

/** RBAC over the cache; make one for each ObjectSource. */
export function createRbac(source: ObjectSource): Rbac {
  const index = createRbacIndex();
  const followers = RBAC_RESOURCES.map((ref) => follow(source, ref, index));
  const inner = createRbacAuthorizer(index);
  const refresh = (): void => {
    for (const follower of followers) follower.refresh();
  };
  return {
    link: {
      type: "RBAC",
      name: "rbac",
      authorize(attributes) {
        refresh();
        return inner.authorize(attributes);
      },
      rulesFor(user, namespace) {
        refresh();
        return { rules: inner.rulesFor(user, namespace), unknown: [] };
      },
    },
    escalationPlugin(authorizer) {
      const escalation = createEscalationCheck(index, inner, authorizer);
      return {
        name: "RBACEscalation",
        validate(attributes) {
          if (attributes.operation !== "CREATE" && attributes.operation !== "UPDATE") return undefined;
          if (attributes.kind.group !== "rbac.authorization.k8s.io" || attributes.object === undefined)
            return undefined;
          refresh();
          return escalation.check(attributes.request.user, attributes.object, attributes.old);
        },
      };
    },
  };
}
