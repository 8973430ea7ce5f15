// An in-memory double of a provider: machines appear when the test says so.
import { newBadRequest, newNotFound, StatusError } from "@coxswain/apimachinery";
import type { Node } from "@coxswain/api";
import type { CloudProvider, Instance, NodeGroup, ProviderNode } from "../cloud-provider.ts";

export interface MemoryProvider extends CloudProvider {
  /** Machines that are being made are there from now on; hears the provider ID of each. */
  readonly finish: () => string[];
  /** The machines that are being made fail. */
  readonly fail: (message: string) => void;
  /** While set, no call is answered. */
  dead: boolean;
  /** Every change that was asked for, as in "increase nodes 2". */
  readonly log: string[];
}

const SCHEME = "memory://";

/** One group, with `names` in it. */
export function createMemoryProvider(group: NodeGroup, names: readonly string[], template?: Node): MemoryProvider {
  const machines = new Map<string, Instance>(
    names.map((name) => [SCHEME + name, { id: SCHEME + name, state: "running" }]),
  );
  const log: string[] = [];
  let queued = 0;
  let made = 0;
  const size = (): number => queued + [...machines.values()].filter(({ state }) => state !== "deleting").length;
  const answer = async <T>(id: string | undefined, act: () => T): Promise<T> => {
    if (provider.dead) throw new StatusError("ServiceUnavailable", 503, "the provider is dead");
    if (id !== undefined && id !== group.id) throw newNotFound({ group: "", resource: "nodegroups" }, id);
    return act();
  };
  const idOf = ({ providerId, name }: ProviderNode): string => providerId || SCHEME + name;
  const take = (): string[] => {
    const ids: string[] = [];
    for (; queued > 0; queued--) {
      const id = `${SCHEME}made-${++made}`;
      machines.set(id, { id, state: "creating" });
      ids.push(id);
    }
    return ids;
  };
  const provider: MemoryProvider = {
    dead: false,
    log,
    finish: () => {
      take();
      const ready = [...machines.values()].filter(({ state, error }) => state === "creating" && error === undefined);
      for (const { id } of ready) machines.set(id, { id, state: "running" });
      return ready.map(({ id }) => id);
    },
    fail: (message) => {
      for (const id of take()) machines.set(id, { id, state: "creating", error: { code: "CannotCreate", message } });
    },
    refresh: () => answer(undefined, () => {}),
    nodeGroups: () => answer(undefined, () => [group]),
    groupForNode: (node) => answer(undefined, () => (idOf(node).startsWith(SCHEME) ? group.id : undefined)),
    targetSize: (id) => answer(id, size),
    increaseSize: (id, delta) =>
      answer(id, () => {
        if (delta <= 0) throw newBadRequest("size increase must be positive");
        if (size() + delta > group.maxSize) throw newBadRequest("size increase is too large");
        log.push(`increase ${id} ${delta}`);
        queued += delta;
      }),
    decreaseTargetSize: (id, delta) =>
      answer(id, () => {
        if (delta >= 0) throw newBadRequest("size decrease must be negative");
        if (-delta > queued) throw newBadRequest("attempt to delete existing nodes");
        log.push(`decrease ${id} ${delta}`);
        queued += delta;
      }),
    deleteNodes: (id, nodes) =>
      answer(id, () => {
        const ids = nodes.map(idOf);
        const missing = ids.find((one) => !machines.has(one));
        if (missing !== undefined) throw newNotFound({ group: "", resource: "nodes" }, missing);
        if (ids.some((one) => machines.get(one)?.error === undefined) && size() - ids.length < group.minSize)
          throw newBadRequest("min size reached, nodes will not be deleted");
        for (const one of ids) machines.delete(one);
        log.push(`delete ${id} ${ids.map((one) => one.slice(SCHEME.length)).join(",")}`);
      }),
    instances: (id) => answer(id, () => [...machines.values()]),
    template: (id) => answer(id, () => template),
    cleanup: async () => {},
  };
  return provider;
}
