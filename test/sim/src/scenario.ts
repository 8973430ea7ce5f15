// One seed's story: a cluster comes up, an application is deployed, rolled out and scaled while things break; then everything
// is healed and has to come right. All its choices are drawn from the seed.
import { DEPLOYMENTS, PODS, type ConfigMap } from "@coxswain/api";
import { storageKey } from "@coxswain/api-server/watch-cache/stored-form";
import { createSeededRandom, type Random } from "@coxswain/env";
import { appDeployment, appService, APP_REFS, Driver, imageOf, NAMESPACE, type AppShape } from "./driver.ts";
import { FaultInjector } from "./fault-injector.ts";
import { planFaults, type Fault } from "./fault-plan.ts";
import { unconverged, type Wanted } from "./convergence.ts";
import { WatchWitness } from "./watch-witness.ts";
import { planWorkloads, Workloads, type WorkloadShape } from "./workloads.ts";
import { ChoreWork, planChores, type ChoreShape } from "./chore-work.ts";
import { DeviceWork, planDevices, type DeviceShape } from "./device-work.ts";
import { PaperWork, planPapers, type PaperShape } from "./paper-work.ts";
import { DiskWork, planDisks, type DiskShape } from "./disk-work.ts";
import { planRules, RuleWork, type RuleShape } from "./rule-work.ts";
import { World } from "./world.ts";

const BOOT_MS = 60_000;
const TROUBLE_MS = 60_000;
const CONVERGE_MS = 180_000;
const LOOK_EVERY_MS = 500;
const LEDGERS = 4;

export interface Step {
  readonly atMs: number;
  readonly replicas?: number;
  readonly revision?: number;
}

export interface Scenario {
  readonly seed: number;
  readonly nodes: number;
  readonly cpu: string;
  readonly maxLatencyMs: number;
  readonly app: AppShape;
  /** Times count from the moment when the cluster is up. */
  readonly steps: readonly Step[];
  /** What runs beside the application. */
  readonly workloads: WorkloadShape;
  readonly rules: RuleShape;
  readonly devices: DeviceShape;
  readonly chores: ChoreShape;
  readonly papers: PaperShape;
  readonly disks: DiskShape;
  readonly faults: readonly Fault[];
}

const pick = <T>(random: Random, from: readonly T[]): T => from[random.int(from.length)]!;

/** What the user does: roll out up to three times, scale up to three times. */
function planSteps(random: Random): Step[] {
  const times = (count: number): number[] =>
    Array.from({ length: count }, () => random.int(TROUBLE_MS)).toSorted((a, b) => a - b);
  const rollouts = times(1 + random.int(3)).map((atMs, at): Step => ({ atMs, revision: at + 2 }));
  const scalings = times(random.int(4)).map((atMs): Step => ({ atMs, replicas: 1 + random.int(8) }));
  return [...rollouts, ...scalings].toSorted((a, b) => a.atMs - b.atMs);
}

export function planScenario(seed: number): Scenario {
  const random = createSeededRandom(Math.imul(seed, 0x9e3779b1) ^ 0x2545f491);
  const nodes = 2 + random.int(4);
  const [maxSurge, maxUnavailable] = pick(random, [
    ["25%", "25%"],
    [1, 0],
    [0, 1],
    [2, 1],
    ["50%", 0],
    ["100%", "100%"],
  ] as const);
  const apiServers = ["api-server-1", "api-server-2"];
  const leaders = ["scheduler-1", "scheduler-2", "controller-manager-1", "controller-manager-2"];
  const steps = planSteps(random);
  const probed = random.int(3) > 0;
  return {
    seed,
    nodes,
    // Sometimes hardly more room than is needed: 16 pods of 300m at most.
    cpu: random.int(3) === 0 ? `${Math.ceil(16 / nodes) * 300 + 100}m` : "4",
    maxLatencyMs: pick(random, [1, 5, 20, 80]),
    app: {
      name: "web",
      replicas: 2 + random.int(7),
      maxSurge,
      maxUnavailable,
      cpu: "300m",
      readyAfterMs: probed ? random.int(5_000) : undefined,
    },
    steps,
    // Drawn from a sequence of its own: what runs beside the application does not move its story.
    rules: planRules(createSeededRandom(Math.imul(seed, 0xc2b2ae35) ^ 0x165667b1), TROUBLE_MS),
    devices: planDevices(createSeededRandom(Math.imul(seed, 0x27d4eb2f) ^ 0x85ebca6b), TROUBLE_MS),
    chores: planChores(createSeededRandom(Math.imul(seed, 0x165667b1) ^ 0x9e3779b1), TROUBLE_MS),
    papers: planPapers(createSeededRandom(Math.imul(seed, 0x9e3779b1) ^ 0xc2b2ae35), TROUBLE_MS),
    disks: planDisks(createSeededRandom(Math.imul(seed, 0x85ebca6b) ^ 0xc2b2ae35), TROUBLE_MS),
    workloads: planWorkloads(createSeededRandom(Math.imul(seed, 0x85ebca6b) ^ 0x27d4eb2f), TROUBLE_MS),
    faults: planFaults({
      random,
      fromMs: 0,
      untilMs: TROUBLE_MS,
      busyMs: [0, ...steps.map((step) => step.atMs)],
      count: 3 + random.int(12),
      controlPlane: [...apiServers, ...leaders],
      apiServers,
      nodePrograms: [...Array.from({ length: nodes }, (_, at) => `kubelet-node-${at + 1}`), "kube-proxy"],
      nodeFaults: random.int(2) === 0,
    }),
  };
}

export interface Played {
  readonly world: World;
  readonly faults: number;
}

/** Plays the scenario to its end; what is broken is in the world's checker. */
export async function play(scenario: Scenario, made?: (world: World) => void): Promise<Played> {
  const { seed, nodes, maxLatencyMs, cpu } = scenario;
  const world = new World({ seed, nodes, maxLatencyMs, capacity: { cpu } });
  made?.(world);
  const story = new Story(world, scenario);
  await story.play();
  return { world, faults: story.faults };
}

class Story {
  readonly #world: World;
  readonly #scenario: Scenario;
  readonly #injector: FaultInjector;
  readonly #driver: Driver;
  readonly #witnesses: readonly WatchWitness[];
  readonly #workloads: Workloads;
  readonly #rules: RuleWork;
  readonly #devices: DeviceWork;
  readonly #chores: ChoreWork;
  readonly #papers: PaperWork;
  readonly #disks: DiskWork;
  #wanted: Wanted;
  /** User's work that has not ended. */
  #busy = 0;

  constructor(world: World, scenario: Scenario) {
    this.#world = world;
    this.#scenario = scenario;
    this.#injector = new FaultInjector(world);
    const { process, client } = world.admin("kubectl", "api-server-1");
    this.#driver = new Driver(process.env, client);
    this.#workloads = new Workloads(world, this.#driver, scenario.workloads);
    this.#rules = new RuleWork(world, this.#driver, scenario.rules);
    this.#devices = new DeviceWork(world, this.#driver, scenario.devices);
    this.#chores = new ChoreWork(world, this.#driver, scenario.chores);
    this.#papers = new PaperWork(world, this.#driver, scenario.papers);
    this.#disks = new DiskWork(world, this.#driver, scenario.disks);
    const watcher = world.admin("watcher", "api-server-2");
    this.#witnesses = [PODS, DEPLOYMENTS].map((ref) => new WatchWitness(watcher.process.env, watcher.client, ref));
    const { name, replicas } = scenario.app;
    this.#wanted = { name, replicas, image: imageOf(1) };
  }

  get faults(): number {
    return this.#injector.injected;
  }

  async play(): Promise<void> {
    const { env, checker } = this.#world;
    if (!(await this.#boot())) return;
    const startMs = env.elapsedMs;
    for (const fault of this.#scenario.faults) {
      env.timers.setTimeout(() => this.#injector.inject(fault), fault.atMs);
    }
    this.#work("deploy", () => this.#deploy());
    this.#work("rules", () => this.#rules.run());
    this.#work("devices", () => this.#devices.run());
    this.#work("chores", () => this.#chores.run());
    this.#work("papers", () => this.#papers.run());
    this.#work("disks", () => this.#disks.run());
    this.#disks.attach().catch((error: unknown) => this.#failed("attacher", error));
    this.#work("workloads", () => this.#workloads.run());
    this.#work("write", () => this.#writeConfigMaps(startMs + TROUBLE_MS));
    const lastMs = Math.max(TROUBLE_MS, ...this.#scenario.faults.map((fault) => fault.atMs + fault.forMs));
    while (env.elapsedMs < startMs + lastMs) await env.step(startMs + lastMs);
    this.#world.note("all faults are healed");
    const left = await this.#converge(env.elapsedMs + CONVERGE_MS);
    for (const detail of left.slice(0, 8)) checker.report(env.elapsedMs, "converges", detail);
    this.#audit();
  }

  async #boot(): Promise<boolean> {
    const world = this.#world;
    world.inherit(this.#papers.inherited());
    world.startControlPlane();
    world.startNodes();
    const up = (): boolean =>
      [...world.servers.values()].every((server) => server.ready() === undefined) &&
      world.state.nodes.length === world.nodeNames.length;
    if (!(await world.env.runUntil(up, BOOT_MS))) {
      world.checker.report(world.env.elapsedMs, "converges", "the cluster did not come up");
      return false;
    }
    for (const witness of this.#witnesses) {
      world.onChange((change) => witness.observe(change));
      witness.follow(world.forever).catch((error: unknown) => this.#failed("watch", error));
    }
    return true;
  }

  async #deploy(): Promise<void> {
    const { app, steps } = this.#scenario;
    const { env } = this.#world;
    const startMs = env.elapsedMs;
    await this.#driver.create(APP_REFS.services, appService(app.name));
    await this.#driver.create(APP_REFS.deployments, appDeployment(app));
    for (const { atMs, replicas, revision } of steps) {
      await env.timers.sleep(Math.max(0, startMs + atMs - env.elapsedMs));
      const image = revision === undefined ? undefined : imageOf(revision);
      await this.#driver.change(app.name, {
        ...(replicas === undefined ? {} : { replicas }),
        ...(image === undefined ? {} : { template: { spec: { containers: [{ name: "app", image }] } } }),
      });
      this.#world.note(`the user asked for ${replicas ?? ""} ${image ?? ""}`);
      this.#wanted = {
        ...this.#wanted,
        ...(replicas === undefined ? {} : { replicas }),
        ...(image === undefined ? {} : { image }),
      };
    }
  }

  async #writeConfigMaps(untilMs: number): Promise<void> {
    const { env } = this.#world;
    for (let at = 0; env.elapsedMs < untilMs; at++) {
      await this.#driver.writeOnce(`ledger-${at % LEDGERS}`);
      await env.timers.sleep(200 + env.random.int(600));
    }
  }

  #work(name: string, work: () => Promise<void>): void {
    this.#busy++;
    work().then(
      () => void this.#busy--,
      (error: unknown) => this.#failed(name, error),
    );
  }

  #failed(name: string, error: unknown): void {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    this.#world.checker.report(this.#world.env.elapsedMs, "user-is-served", `${name}: ${what}`);
  }

  /** Until everything is right twice in a row, or the time is over; says what is not. */
  async #converge(untilMs: number): Promise<string[]> {
    const { env } = this.#world;
    let calm = 0;
    for (;;) {
      await env.advance(LOOK_EVERY_MS);
      const left =
        this.#busy > 0
          ? ["the user is still at work"]
          : [
              ...(await unconverged(this.#world, this.#wanted)),
              ...this.#workloads.unconverged(),
              ...this.#rules.unconverged(),
              ...this.#devices.unconverged(),
              ...this.#chores.unconverged(),
              ...this.#papers.unconverged(),
              ...this.#disks.unconverged(),
            ];
      const silent = this.#witnesses.map((witness) => witness.difference()).filter((one) => one !== undefined);
      calm = left.length + silent.length === 0 ? calm + 1 : 0;
      if (calm >= 2) return [];
      if (env.elapsedMs >= untilMs) return [...left, ...silent];
    }
  }

  #audit(): void {
    const { state, checker, env } = this.#world;
    const stored = (name: string): ConfigMap | undefined =>
      state.stored("configmaps").get(storageKey({ group: "", resource: "configmaps" }, NAMESPACE, name))?.object;
    for (const detail of this.#driver.lost(stored)) {
      checker.report(env.elapsedMs, "acknowledged-writes-stay", detail);
    }
  }
}
