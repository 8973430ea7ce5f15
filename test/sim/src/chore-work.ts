// What goes on beside the application without anybody looking: a daemon on every node that is rolled out, Jobs by the clock of which
// two never run at once, a Job that leaves no trace, a ReplicationController under a budget, a role made of others, and a namespace
// that comes with a pod and its volume and goes with all that is in it.
import {
  CLUSTER_ROLES,
  CONFIG_MAPS,
  CRON_JOBS,
  DAEMON_SETS,
  JOBS,
  NAMESPACES,
  POD_DISRUPTION_BUDGETS,
  PODS,
  REPLICATION_CONTROLLERS,
  type ClusterRole,
  type CronJob,
  type DaemonSet,
  type Job,
  type Pod,
  type PodDisruptionBudget,
  type PodTemplateSpec,
  type ReplicationController,
} from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { Random } from "@coxswain/env";
import { SIMULATE_ANNOTATION } from "@coxswain/kubelet/cri/simulated/behaviour";
import { isReady } from "./cluster-state.ts";
import { imageOf, NAMESPACE, type Driver } from "./driver.ts";
import type { World } from "./world.ts";

export interface ChoreShape {
  readonly surge: boolean;
  /** When the daemon gets its second image. */
  readonly daemonAtMs: number;
  readonly everySeconds: number;
  /** How long a Job of the clock works, and when the clock is stopped. */
  readonly workMs: number;
  readonly stopAtMs: number;
  readonly replicas: number;
  /** How many replicas are wanted in the end, and from when on. */
  readonly later: { readonly atMs: number; readonly replicas: number };
  readonly namespaceGoesAtMs: number;
}

export function planChores(random: Random, withinMs: number): ChoreShape {
  return {
    surge: random.int(2) === 0,
    daemonAtMs: random.int(withinMs),
    everySeconds: 5 + random.int(15),
    workMs: 500 + random.int(20_000),
    stopAtMs: withinMs / 2 + random.int(withinMs / 2),
    replicas: 1 + random.int(3),
    later: { atMs: random.int(withinMs), replicas: 1 + random.int(3) },
    namespaceGoesAtMs: random.int(withinMs),
  };
}

const DAEMON = "agent";
const CRON = "tick";
const TRACELESS = "traceless";
const OLD_STYLE = "old-style";
const SUM = "sum";
const PASSING = "passing";
const KEPT = 2;
const RETRY_MS = 500;

function template(labels: Record<string, string>, exitAfterMs?: number): PodTemplateSpec {
  const annotations = { [SIMULATE_ANNOTATION]: JSON.stringify({ main: { exitAfterMs } }) };
  const containers = [{ name: "main", image: imageOf(1) }];
  return {
    metadata: { labels, ...(exitAfterMs === undefined ? {} : { annotations }) },
    spec: {
      terminationGracePeriodSeconds: 1,
      ...(exitAfterMs === undefined ? {} : { restartPolicy: "Never" }),
      containers,
    },
  };
}

function daemon(surge: boolean): DaemonSet {
  const labels = { daemon: DAEMON };
  const rollingUpdate = surge ? { maxSurge: 1, maxUnavailable: 0 } : { maxSurge: 0, maxUnavailable: 1 };
  return {
    metadata: { name: DAEMON, namespace: NAMESPACE },
    spec: {
      selector: { matchLabels: labels },
      template: template(labels),
      updateStrategy: { type: "RollingUpdate", rollingUpdate },
    },
  };
}

function cronJob({ everySeconds, workMs }: ChoreShape): CronJob {
  return {
    metadata: { name: CRON, namespace: NAMESPACE },
    spec: {
      schedule: `@every ${everySeconds}s`,
      concurrencyPolicy: "Forbid",
      successfulJobsHistoryLimit: KEPT,
      failedJobsHistoryLimit: 0,
      jobTemplate: { spec: { backoffLimit: 1_000, template: template({ cron: CRON }, workMs) } },
    },
  };
}

function oldStyle(replicas: number): ReplicationController {
  const selector = { rc: OLD_STYLE };
  return {
    metadata: { name: OLD_STYLE, namespace: NAMESPACE },
    spec: { replicas, selector, template: template(selector) },
  };
}

/** It asks for a volume of its own. */
function passingPod(): Pod {
  const resources = { requests: { storage: "1Gi" } };
  const volumeClaimTemplate = { spec: { accessModes: ["ReadWriteOnce"], resources } };
  return {
    metadata: { name: "guest", namespace: PASSING },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: imageOf(1), volumeMounts: [{ name: "own", mountPath: "/own" }] }],
      volumes: [{ name: "own", ephemeral: { volumeClaimTemplate } }],
    },
  };
}

const named =
  (name: string) =>
  ({ metadata }: KubeObject): boolean =>
    metadata?.name === name;
const rule = (resource: string) => [{ apiGroups: ["example.com"], resources: [resource], verbs: ["get"] }];

export class ChoreWork {
  readonly #world: World;
  readonly #driver: Driver;
  readonly #shape: ChoreShape;

  constructor(world: World, driver: Driver, shape: ChoreShape) {
    this.#world = world;
    this.#driver = driver;
    this.#shape = shape;
  }

  async run(): Promise<void> {
    await Promise.all([this.#keepDaemon(), this.#keepClock(), this.#keepOldStyle(), this.#sumUp(), this.#pass()]);
  }

  async #keepDaemon(): Promise<void> {
    const { surge, daemonAtMs } = this.#shape;
    await this.#driver.create(DAEMON_SETS, daemon(surge));
    await this.#world.env.timers.sleep(daemonAtMs);
    const containers = [{ name: "main", image: imageOf(2) }];
    await this.#driver.change(DAEMON, { template: { spec: { containers } } }, DAEMON_SETS);
  }

  async #keepClock(): Promise<void> {
    await this.#driver.create(CRON_JOBS, cronJob(this.#shape));
    const spec = { ttlSecondsAfterFinished: 3, backoffLimit: 1_000, template: template({ job: TRACELESS }, 2_000) };
    const job: Job = { metadata: { name: TRACELESS, namespace: NAMESPACE }, spec };
    await this.#driver.create(JOBS, job);
    const { timers } = this.#world.env;
    await timers.sleep(this.#shape.stopAtMs);
    // Where nobody led for long, the first Job is yet to come.
    while ((await this.#driver.read<CronJob>(CRON_JOBS, CRON)).status?.lastScheduleTime === undefined) {
      await timers.sleep(RETRY_MS);
    }
    await this.#driver.change(CRON, { suspend: true }, CRON_JOBS);
  }

  async #keepOldStyle(): Promise<void> {
    const { replicas, later } = this.#shape;
    const selector = { matchLabels: { rc: OLD_STYLE } };
    const budget: PodDisruptionBudget = {
      metadata: { name: OLD_STYLE, namespace: NAMESPACE },
      spec: { selector, maxUnavailable: 1 },
    };
    await this.#driver.create(POD_DISRUPTION_BUDGETS, budget);
    await this.#driver.create(REPLICATION_CONTROLLERS, oldStyle(replicas));
    await this.#world.env.timers.sleep(later.atMs);
    await this.#driver.change(OLD_STYLE, { replicas: later.replicas }, REPLICATION_CONTROLLERS);
  }

  async #sumUp(): Promise<void> {
    const role = (name: string, rest: Partial<ClusterRole>): Promise<void> =>
      this.#driver.create(CLUSTER_ROLES, { metadata: { name, labels: { part: SUM } }, rules: [], ...rest }, "");
    const clusterRoleSelectors = [{ matchLabels: { part: SUM } }];
    await role(SUM, { aggregationRule: { clusterRoleSelectors } });
    for (const part of ["a", "b"]) await role(`${SUM}-${part}`, { rules: rule(part) });
  }

  async #pass(): Promise<void> {
    await this.#driver.create(NAMESPACES, { metadata: { name: PASSING } }, "");
    await this.#driver.create(CONFIG_MAPS, { metadata: { name: "note", namespace: PASSING } }, PASSING);
    await this.#driver.create(PODS, passingPod(), PASSING);
    await this.#world.env.timers.sleep(this.#shape.namespaceGoesAtMs);
    await this.#driver.remove(NAMESPACES, PASSING, "Background", "");
  }

  /** What is not as it should be; empty where all is. */
  unconverged(): string[] {
    return [...this.#daemon(), ...this.#clock(), ...this.#oldStyle(), ...this.#sum(), ...this.#passed()];
  }

  #isThere(resource: string, name: string): boolean {
    return this.#world.state.list(resource).some(named(name));
  }

  #daemon(): string[] {
    const { state, nodeNames } = this.#world;
    const set = this.#world.state.list<DaemonSet>("daemonsets").find(named(DAEMON));
    const pods = state.owned<Pod>("pods", set?.metadata?.uid);
    const good = pods.filter((pod) => isReady(pod) && pod.spec?.containers[0]?.image === imageOf(2));
    const places = new Set(good.map(({ spec }) => spec?.nodeName));
    if (pods.length !== nodeNames.length || places.size !== nodeNames.length) {
      return [`${places.size} nodes have a new daemon that is ready, of ${pods.length} pods`];
    }
    const { numberAvailable, updatedNumberScheduled, observedGeneration } = set?.status ?? {};
    const told = numberAvailable === nodeNames.length && updatedNumberScheduled === nodeNames.length;
    return told && observedGeneration === set?.metadata?.generation ? [] : ["the DaemonSet's status is behind"];
  }

  /** Nothing runs any more, and as much is kept as was asked for. */
  #clock(): string[] {
    const cron = this.#world.state.list<CronJob>("cronjobs").find(named(CRON));
    const jobs = this.#world.state.owned<Job>("jobs", cron?.metadata?.uid);
    const ended = jobs.filter(({ status }) => status?.conditions?.some(({ type }) => type === "Complete"));
    const wrong: string[] = [];
    if (jobs.length === 0 || jobs.length > KEPT || ended.length !== jobs.length) {
      wrong.push(`${ended.length} of ${jobs.length} Jobs of the clock are complete; up to ${KEPT} are kept`);
    }
    if ((cron?.status?.active ?? []).length > 0) wrong.push("the CronJob says that a Job runs");
    if (cron?.status?.lastSuccessfulTime === undefined) wrong.push("the CronJob knows of no success");
    if (this.#isThere("jobs", TRACELESS)) wrong.push(`the Job ${TRACELESS} is still there`);
    return wrong;
  }

  #oldStyle(): string[] {
    const { replicas } = this.#shape.later;
    const rc = this.#world.state.list<ReplicationController>("replicationcontrollers").find(named(OLD_STYLE));
    const pods = this.#world.state.owned<Pod>("pods", rc?.metadata?.uid);
    const ready = pods.filter(isReady).length;
    const wrong: string[] = [];
    if (pods.length !== replicas || ready !== replicas || rc?.status?.availableReplicas !== replicas) {
      wrong.push(`${ready} of ${pods.length} pods of the ReplicationController are ready; ${replicas} are wanted`);
    }
    const { status } = this.#world.state.list<PodDisruptionBudget>("poddisruptionbudgets").find(named(OLD_STYLE)) ?? {};
    const { expectedPods, currentHealthy, disruptionsAllowed } = status ?? {};
    const counts = [expectedPods, currentHealthy, disruptionsAllowed];
    if (counts.join() !== [replicas, replicas, 1].join()) wrong.push(`the budget counts ${counts.join()}`);
    return wrong;
  }

  #sum(): string[] {
    const rules = this.#world.state.list<ClusterRole>("clusterroles").find(named(SUM))?.rules ?? [];
    const resources = rules.flatMap((one) => one.resources ?? []).join();
    return resources === "a,b" ? [] : [`the role of parts allows ${resources}`];
  }

  #passed(): string[] {
    const { state } = this.#world;
    if (this.#isThere("namespaces", PASSING)) return [`namespace ${PASSING} is still there`];
    return ["pods", "configmaps", "persistentvolumeclaims", "serviceaccounts"].flatMap((resource) => {
      const left = state.list(resource).filter(({ metadata }) => metadata?.namespace === PASSING);
      return left.length === 0 ? [] : [`${left.length} ${resource} outlived their namespace`];
    });
  }
}
