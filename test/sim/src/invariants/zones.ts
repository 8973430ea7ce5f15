// Invariants of zones: how fast nodes are given up, by the state of their zone as the commits show it. Upstream's defaults: a node
// every ten seconds in a zone; none in a small zone of which most is lost, nor where no node of any zone is ready.
// https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
import type { Node } from "@coxswain/api";
import type { Change, ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

const ZONE = "topology.kubernetes.io/zone";
const GIVEN_UP = new Set(["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
const INTERVAL_MS = 10_000;
const UNHEALTHY_SHARE = 0.55;
/** A state that is younger may not have been known to the one who decided. */
const KNOWN_AFTER_MS = 10_000;
/** What a decision may be on its way, longer than the one before it. */
const ON_ITS_WAY_MS = 2_000;

export type ZoneState = "well" | "partly lost" | "lost";

export const zoneOf = (node: Node): string => node.metadata?.labels?.[ZONE] ?? "";

export function isNodeReady({ status }: Node): boolean {
  return status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
}

/** True where pods are to leave the node because nobody hears of it. */
export function isGivenUp({ spec }: Node): boolean {
  return spec?.taints?.some(({ key, effect }) => effect === "NoExecute" && GIVEN_UP.has(key)) === true;
}

function stateOf(nodes: readonly Node[]): ZoneState {
  const lost = nodes.filter((node) => !isNodeReady(node)).length;
  if (lost === nodes.length) return "lost";
  return lost > 2 && lost / nodes.length >= UNHEALTHY_SHARE ? "partly lost" : "well";
}

interface Since {
  readonly state: ZoneState;
  readonly sinceMs: number;
}

/** Checked at each change of a node. */
export function nodesAreGivenUpSlowly(): Invariant & { readonly givenUp: number } {
  const states = new Map<string, Since>();
  let allLostSinceMs: number | undefined;
  let givenUp = 0;
  /** By who decided and the zone. */
  const lastMs = new Map<string, number>();

  function learn(atMs: number, state: ClusterState): void {
    const zones = Map.groupBy(state.nodes, zoneOf);
    for (const [zone, nodes] of zones) {
      const now = stateOf(nodes);
      if (states.get(zone)?.state !== now) states.set(zone, { state: now, sinceMs: atMs });
    }
    if (!state.nodes.every((node) => !isNodeReady(node))) allLostSinceMs = undefined;
    else allLostSinceMs ??= atMs;
  }

  function broken({ atMs, actor }: Change, node: Node): string[] {
    const zone = zoneOf(node);
    const what = `${node.metadata?.name} in zone ${zone} is given up`;
    const wrong: string[] = [];
    const longAgo = (sinceMs: number | undefined): boolean => sinceMs !== undefined && atMs - sinceMs > KNOWN_AFTER_MS;
    if (longAgo(allLostSinceMs)) wrong.push(`${what} though no node of any zone is ready`);
    const known = states.get(zone);
    if (known?.state === "partly lost" && longAgo(known.sinceMs)) {
      wrong.push(`${what} though the zone is small and mostly lost`);
    }
    const by = `${actor?.identity} ${zone}`;
    const passedMs = atMs - (lastMs.get(by) ?? Number.NEGATIVE_INFINITY);
    if (passedMs < INTERVAL_MS - ON_ITS_WAY_MS) wrong.push(`${what} ${Math.round(passedMs)} ms after another`);
    lastMs.set(by, atMs);
    return wrong;
  }

  return {
    name: "nodes-are-given-up-slowly",
    get givenUp() {
      return givenUp;
    },
    check(change, state) {
      if (change.ref.resource !== "nodes") return OK;
      const { object, old } = change as { object: Node | undefined; old: Node | undefined };
      const fresh = object !== undefined && isGivenUp(object) && old !== undefined && !isGivenUp(old);
      const wrong = fresh ? broken(change, object) : OK;
      if (fresh) givenUp++;
      learn(change.atMs, state);
      return wrong;
    },
  };
}
