// A story of zones: an application spread over the zones of a cluster, and outages that take a zone, most of one, a node, or all
// nodes at once. What is lost is given up no faster than upstream does, what is left takes over, and in the end all is well again.
import { NODES, type Deployment, type Pod } from "@coxswain/api";
import { createSeededRandom, type Random } from "@coxswain/env";
import { isReady } from "./cluster-state.ts";
import { appDeployment, APP_REFS, Driver } from "./driver.ts";
import { FaultInjector } from "./fault-injector.ts";
import { isGivenUp, isNodeReady, nodesAreGivenUpSlowly, zoneOf } from "./invariants/zones.ts";
import type { Played } from "./scenario.ts";
import { World } from "./world.ts";

const BOOT_MS = 60_000;
const SETTLE_MS = 120_000;
/** Upstream's grace of a node that nobody hears of, and what it takes to see it. */
const NOTICED_MS = 60_000;
const PER_NODE_MS = 10_000;
const TAKE_OVER_MS = 40_000;
const TOLERATED_SECONDS = 5;
const ZONES = ["east", "north", "west"] as const;
const CONTROLLERS = ["controller-manager-1", "controller-manager-2"];

export type OutageKind = "zone" | "most of a zone" | "node" | "everything";

export interface Outage {
  readonly kind: OutageKind;
  readonly nodes: readonly string[];
  readonly forMs: number;
}

export interface ZoneScenario {
  readonly seed: number;
  /** The zone of each node. */
  readonly zones: ReadonlyMap<string, string>;
  readonly replicas: number;
  readonly maxLatencyMs: number;
  readonly outages: readonly Outage[];
  /** Controller managers die in the middle of outages, and when. */
  readonly kills: readonly { readonly atMs: number; readonly target: string }[];
}

const pick = <T>(random: Random, from: readonly T[]): T => from[random.int(from.length)]!;

function planOutage(random: Random, zones: ReadonlyMap<string, string>): Outage {
  const all = [...zones.keys()];
  const of = (zone: string): string[] => all.filter((node) => zones.get(node) === zone);
  const wide = ZONES.filter((zone) => of(zone).length >= 4);
  const kinds: OutageKind[] = [
    "zone",
    "zone",
    "node",
    "everything",
    ...(wide.length > 0 ? ["most of a zone" as const] : []),
  ];
  const kind = pick(random, kinds);
  const zone = kind === "most of a zone" ? pick(random, wide) : pick(random, ZONES);
  const nodes =
    kind === "everything"
      ? all
      : kind === "node"
        ? [pick(random, all)]
        : kind === "zone"
          ? of(zone)
          : of(zone).slice(0, Math.max(3, Math.ceil(of(zone).length * 0.6)));
  return { kind, nodes, forMs: NOTICED_MS + PER_NODE_MS * nodes.length + TAKE_OVER_MS };
}

/** Pure: all of it is drawn from the seed. */
export function planZones(seed: number): ZoneScenario {
  const random = createSeededRandom(Math.imul(seed, 0x27d4eb2f) ^ 0x9e3779b1);
  const zones = new Map<string, string>();
  for (const zone of ZONES) {
    const size = 1 + random.int(5);
    for (let at = 0; at < size; at++) zones.set(`node-${zones.size + 1}`, zone);
  }
  const outages = Array.from({ length: 1 + random.int(2) }, () => planOutage(random, zones));
  const dies = random.int(3) === 0;
  return {
    seed,
    zones,
    replicas: 3 + random.int(7),
    maxLatencyMs: pick(random, [1, 5, 20, 80]),
    outages,
    kills: dies ? outages.map(({ forMs }) => ({ atMs: random.int(forMs), target: pick(random, CONTROLLERS) })) : [],
  };
}

function spreadApp(replicas: number): Deployment {
  const shape = { name: "web", replicas, maxSurge: 1, maxUnavailable: 0, cpu: "10m", readyAfterMs: undefined };
  const made = appDeployment(shape);
  const tolerate = (key: string) => ({
    key,
    operator: "Exists",
    effect: "NoExecute",
    tolerationSeconds: TOLERATED_SECONDS,
  });
  made.spec!.template.spec = {
    ...made.spec!.template.spec!,
    tolerations: [tolerate("node.kubernetes.io/unreachable"), tolerate("node.kubernetes.io/not-ready")],
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "topology.kubernetes.io/zone",
        whenUnsatisfiable: "DoNotSchedule",
        nodeTaintsPolicy: "Honor",
        labelSelector: { matchLabels: { app: "web" } },
      },
    ],
  };
  return made;
}

/** Plays the scenario to its end; what is broken is in the world's checker. */
export async function playZones(scenario: ZoneScenario, made?: (world: World) => void): Promise<Played> {
  const { seed, zones, maxLatencyMs } = scenario;
  const world = new World({ seed, nodes: zones.size, maxLatencyMs, capacity: { cpu: "4" } });
  made?.(world);
  const story = new ZoneStory(world, scenario);
  await story.play();
  return { world, faults: story.faults };
}

class ZoneStory {
  readonly #world: World;
  readonly #scenario: ZoneScenario;
  readonly #injector: FaultInjector;
  readonly #slowly = nodesAreGivenUpSlowly();

  constructor(world: World, scenario: ZoneScenario) {
    this.#world = world;
    this.#scenario = scenario;
    this.#injector = new FaultInjector(world);
  }

  get faults(): number {
    return this.#injector.injected;
  }

  async play(): Promise<void> {
    const world = this.#world;
    world.startControlPlane();
    world.startNodes();
    if (!(await this.#reached("the cluster comes up", BOOT_MS, () => this.#up()))) return;
    world.onChange((change) => {
      for (const detail of this.#slowly.check(change, world.state)) {
        world.checker.report(change.atMs, this.#slowly.name, detail);
      }
    });
    await this.#prepare();
    if (!(await this.#well())) return;
    if (!this.#isSpread(ZONES)) this.#report("spreads-over-zones", `pods are on ${this.#places()}`);
    for (const [at, outage] of this.#scenario.outages.entries()) {
      await this.#suffer(outage, this.#scenario.kills[at]);
      if (!(await this.#well())) return;
    }
  }

  #up(): boolean {
    const { servers, state } = this.#world;
    return [...servers.values()].every((server) => server.ready() === undefined) && state.nodes.length === this.#size;
  }

  get #size(): number {
    return this.#scenario.zones.size;
  }

  async #prepare(): Promise<void> {
    const { env } = this.#world;
    const { process, client } = this.#world.admin("kubectl", "api-server-1");
    const driver = new Driver(process.env, client);
    const merge = "application/merge-patch+json";
    const work = [...this.#scenario.zones].map(async ([name, zone]) => {
      await client.patch(NODES, { name }, merge, { metadata: { labels: { "topology.kubernetes.io/zone": zone } } });
    });
    const labelled = Promise.all(work);
    await env.advance(5_000);
    await labelled;
    const created = driver.create(APP_REFS.deployments, spreadApp(this.#scenario.replicas));
    await env.advance(5_000);
    await created;
  }

  async #suffer(outage: Outage, kill: { readonly atMs: number; readonly target: string } | undefined): Promise<void> {
    const { env } = this.#world;
    const { kind, nodes, forMs } = outage;
    this.#world.note(`outage of ${kind}: ${nodes.join(" ")}`);
    const before = this.#slowly.givenUp;
    for (const node of nodes) {
      this.#injector.inject({ atMs: 0, kind: "freeze", target: `kubelet-${node}`, forMs, strength: 0 });
    }
    if (kill !== undefined) {
      env.timers.setTimeout(() => this.#injector.inject({ ...kill, kind: "kill", forMs: 0, strength: 0 }), kill.atMs);
    }
    await env.advance(forMs - 1_000);
    if (kill === undefined) this.#judge(outage, this.#slowly.givenUp - before);
    await env.advance(2_000);
  }

  /** At the end of an outage that nobody disturbed. */
  #judge({ kind, nodes }: Outage, count: number): void {
    const { state } = this.#world;
    const lost = state.nodes.filter((node) => nodes.includes(node.metadata?.name ?? ""));
    const up = lost.filter(isNodeReady);
    if (up.length > 0) this.#report("outages-are-seen", `${up.map(({ metadata }) => metadata?.name).join()} are Ready`);
    const given = lost.filter(isGivenUp);
    const size = state.nodes.filter((node) => lost.some((one) => zoneOf(one) === zoneOf(node))).length;
    if (kind === "everything") {
      if (given.length > 0) this.#report("nobody-is-given-up", `${given.length} of ${size} nodes are`);
      return;
    }
    // Nodes go one after the other: two may be given up before most of the zone is seen to be lost.
    if (kind === "most of a zone") {
      if (count > 2) this.#report("nobody-is-given-up", `${count} nodes of a zone that is mostly lost are`);
      return;
    }
    if (given.length !== lost.length) this.#report("what-is-lost-is-given-up", `${given.length} of ${lost.length} are`);
    const there = this.#pods().filter((pod) => nodes.includes(pod.spec?.nodeName ?? ""));
    const ready = this.#pods().filter((pod) => isReady(pod) && !there.includes(pod));
    if (ready.length < this.#scenario.replicas) {
      this.#report("what-is-left-takes-over", `${ready.length} of ${this.#scenario.replicas} pods: ${this.#places()}`);
    }
  }

  #pods(): Pod[] {
    return this.#world.state.pods.filter((pod) => pod.metadata?.labels?.["app"] === "web");
  }

  #isSpread(zones: readonly string[]): boolean {
    const counts = zones.map((zone) => this.#pods().filter((pod) => this.#zoneOf(pod) === zone).length);
    return Math.max(...counts) - Math.min(...counts) <= 1;
  }

  #zoneOf({ spec }: Pod): string {
    return this.#scenario.zones.get(spec?.nodeName ?? "") ?? "no zone";
  }

  #places(): string {
    return this.#pods()
      .map((pod) => `${this.#zoneOf(pod)}${isReady(pod) ? "" : " (not ready)"}`)
      .toSorted()
      .join(", ");
  }

  /** All nodes are Ready and free, and all pods are. */
  #well(): Promise<boolean> {
    const { state } = this.#world;
    return this.#reached("all is well", SETTLE_MS, () => {
      const free = state.nodes.every((node) => isNodeReady(node) && (node.spec?.taints ?? []).length === 0);
      const pods = this.#pods();
      return free && pods.length === this.#scenario.replicas && pods.every(isReady);
    });
  }

  async #reached(what: string, withinMs: number, holds: () => boolean): Promise<boolean> {
    const { env, state } = this.#world;
    if (await env.runUntil(holds, env.elapsedMs + withinMs)) return true;
    const ready = state.nodes.filter(isNodeReady).length;
    this.#report(
      "converges",
      `not so: ${what}; ${ready} of ${this.#size} nodes are Ready, pods are on ${this.#places()}`,
    );
    return false;
  }

  #report(invariant: string, detail: string): void {
    this.#world.checker.report(this.#world.env.elapsedMs, invariant, detail);
  }
}
