// Which pods belong together: by the Services that select a pod and by the workload that owns it. Spread constraints that a
// pod does not name itself count the pods of this group.
// https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#cluster-level-default-constraints
import type { LabelSelector, Pod } from "@coxswain/api";
import type { PodInfo } from "../pod-info.ts";

export type WorkloadKind = "ReplicationController" | "ReplicaSet" | "StatefulSet";

const API_VERSIONS: Readonly<Record<WorkloadKind, string>> = {
  ReplicationController: "v1",
  ReplicaSet: "apps/v1",
  StatefulSet: "apps/v1",
};

/** A selector, and labels that must be there besides. */
export interface Group {
  readonly selector: LabelSelector | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

const MAX_REMEMBERED = 16_384;

export class Workloads {
  /** Selectors of Services, by namespace and name. */
  readonly #services = new Map<string, Map<string, Readonly<Record<string, string>>>>();
  /** Selectors of workloads, by "kind namespace/name". */
  readonly #owners = new Map<string, LabelSelector>();
  readonly #memo = new Map<string, Group | null>();

  setService(namespace: string, name: string, selector: Readonly<Record<string, string>> | undefined): void {
    const services = this.#services.get(namespace) ?? new Map<string, Readonly<Record<string, string>>>();
    if (JSON.stringify(services.get(name)) === JSON.stringify(selector)) return;
    this.#services.set(namespace, services);
    if (selector === undefined) services.delete(name);
    else services.set(name, selector);
    this.#memo.clear();
  }

  setOwner(kind: WorkloadKind, key: string, selector: LabelSelector | undefined): void {
    const at = `${kind} ${key}`;
    if (JSON.stringify(this.#owners.get(at)) === JSON.stringify(selector)) return;
    if (selector === undefined) this.#owners.delete(at);
    else this.#owners.set(at, selector);
    this.#memo.clear();
  }

  /** Undefined where nothing says to which pods this one belongs. */
  groupOf(info: PodInfo): Group | undefined {
    const owner = ownerOf(info.pod);
    const key = `${owner ?? ""}\n${info.signature}`;
    let group = this.#memo.get(key);
    if (group === undefined) {
      if (this.#memo.size >= MAX_REMEMBERED) this.#memo.clear();
      this.#memo.set(key, (group = this.#find(info, owner)));
    }
    return group ?? undefined;
  }

  #find(info: PodInfo, owner: string | undefined): Group | null {
    const labels: Record<string, string> = {};
    for (const wanted of this.#services.get(info.namespace)?.values() ?? []) {
      const pairs = Object.entries(wanted);
      if (pairs.length > 0 && pairs.every(([key, value]) => info.labels[key] === value)) Object.assign(labels, wanted);
    }
    const selector = owner === undefined ? undefined : this.#owners.get(owner);
    const says = Object.keys(selector?.matchLabels ?? {}).length + (selector?.matchExpressions?.length ?? 0);
    if (Object.keys(labels).length + says === 0) return null;
    return { selector: selector ?? {}, labels };
  }
}

function ownerOf({ metadata }: Pod): string | undefined {
  const owner = metadata?.ownerReferences?.find((one) => one.controller === true);
  if (owner === undefined || API_VERSIONS[owner.kind as WorkloadKind] !== owner.apiVersion) return undefined;
  return `${owner.kind} ${metadata?.namespace ?? ""}/${owner.name}`;
}
