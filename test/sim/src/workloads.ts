// What the user runs beside the application: a StatefulSet with claims that is scaled and rolled out, a Job of many small pods, pods
// under a load that an autoscaler follows, and objects that own others. Says in the end what has not come right.
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  HORIZONTAL_POD_AUTOSCALERS,
  JOBS,
  STATEFUL_SETS,
  type ConfigMap,
  type Deployment,
  type HorizontalPodAutoscaler,
  type Job,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type StatefulSet,
} from "@coxswain/api";
import type { Random } from "@coxswain/env";
import { SIMULATE_ANNOTATION } from "@coxswain/kubelet/cri/simulated/behaviour";
import { CPU_USAGE_ANNOTATION } from "@coxswain/kubelet/stats/simulated-usage";
import { isReady } from "./cluster-state.ts";
import { imageOf, NAMESPACE, type Driver } from "./driver.ts";
import type { World } from "./world.ts";

export interface WorkloadShape {
  readonly replicas: number;
  readonly parallel: boolean;
  /** What the StatefulSet is to become, and when. */
  readonly next: { readonly atMs: number; readonly replicas: number; readonly revision: number };
  readonly indexed: boolean;
  readonly completions: number;
  readonly parallelism: number;
  /** How long a pod of the Job works, ms. */
  readonly workMs: number;
  /** When the owner goes that lets its dependent be, and when the one that takes it along. */
  readonly orphanAtMs: number;
  readonly collectAtMs: number;
  /** The most replicas of what is autoscaled, which its load asks for, and what they become when. */
  readonly most: number;
  readonly mostLater: { readonly atMs: number; readonly most: number };
}

export function planWorkloads(random: Random, withinMs: number): WorkloadShape {
  return {
    replicas: 1 + random.int(3),
    parallel: random.int(2) === 0,
    next: { atMs: random.int(withinMs), replicas: 1 + random.int(3), revision: 2 },
    indexed: random.int(2) === 0,
    completions: 2 + random.int(5),
    parallelism: 1 + random.int(3),
    workMs: 500 + random.int(8_000),
    orphanAtMs: random.int(withinMs),
    collectAtMs: random.int(withinMs),
    most: 2 + random.int(3),
    mostLater: { atMs: random.int(withinMs), most: 1 + random.int(4) },
  };
}

const SET = "db";
const JOB = "batch";
const CROWD = "crowd";

const container = (image: string) => [{ name: "main", image }];
const CLAIM = "data";
const stateful = (image: string) => [{ name: "main", image, volumeMounts: [{ name: CLAIM, mountPath: "/data" }] }];

function statefulSet({ replicas, parallel }: WorkloadShape): StatefulSet {
  const labels = { set: SET };
  return {
    metadata: { name: SET, namespace: NAMESPACE },
    spec: {
      serviceName: SET,
      replicas,
      selector: { matchLabels: labels },
      ...(parallel ? { podManagementPolicy: "Parallel" } : {}),
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 2, containers: stateful(imageOf(1)) } },
      volumeClaimTemplates: [
        {
          metadata: { name: CLAIM },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        },
      ],
    },
  };
}

function job({ completions, parallelism, workMs, indexed }: WorkloadShape): Job {
  const annotations = { [SIMULATE_ANNOTATION]: JSON.stringify({ main: { exitAfterMs: workMs } }) };
  return {
    metadata: { name: JOB, namespace: NAMESPACE },
    spec: {
      completions,
      parallelism,
      completionMode: indexed ? "Indexed" : "NonIndexed",
      backoffLimit: 1_000,
      template: { metadata: { annotations }, spec: { restartPolicy: "Never", containers: container(imageOf(1)) } },
    },
  };
}

function owned(name: string, owner: { readonly name: string; readonly uid: string }): ConfigMap {
  const reference = { apiVersion: "v1", kind: "ConfigMap", ...owner };
  return { metadata: { name, namespace: NAMESPACE, ownerReferences: [reference] }, data: {} };
}

function describeVolume({ metadata, status }: PersistentVolume): string {
  return `volume ${metadata?.name} is ${status?.phase}`;
}

/** Each pod is busy beyond all bounds, and asks for next to nothing. */
function crowd(): Deployment {
  const labels = { crowd: CROWD };
  const resources = { requests: { cpu: "1m" } };
  return {
    metadata: { name: CROWD, namespace: NAMESPACE },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: { [CPU_USAGE_ANNOTATION]: "20m" } },
        spec: { containers: [{ name: "main", image: imageOf(1), resources }] },
      },
    },
  };
}

function autoscaler({ most }: WorkloadShape): HorizontalPodAutoscaler {
  return {
    metadata: { name: CROWD, namespace: NAMESPACE },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: CROWD },
      minReplicas: 1,
      maxReplicas: most,
    },
  };
}

export class Workloads {
  readonly #world: World;
  readonly #driver: Driver;
  readonly #shape: WorkloadShape;

  constructor(world: World, driver: Driver, shape: WorkloadShape) {
    this.#world = world;
    this.#driver = driver;
    this.#shape = shape;
  }

  async run(): Promise<void> {
    const work = [this.#runSet(), this.#driver.create(JOBS, job(this.#shape)), this.#runOwners(), this.#runCrowd()];
    await Promise.all(work);
  }

  async #runSet(): Promise<void> {
    const { next } = this.#shape;
    await this.#driver.create(STATEFUL_SETS, statefulSet(this.#shape));
    await this.#world.env.timers.sleep(next.atMs);
    const template = { spec: { containers: stateful(imageOf(next.revision)) } };
    await this.#driver.change(SET, { replicas: next.replicas, template }, STATEFUL_SETS);
  }

  async #runCrowd(): Promise<void> {
    const { atMs, most } = this.#shape.mostLater;
    await this.#driver.create(DEPLOYMENTS, crowd());
    await this.#driver.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler(this.#shape));
    await this.#world.env.timers.sleep(atMs);
    await this.#driver.change(CROWD, { maxReplicas: most }, HORIZONTAL_POD_AUTOSCALERS);
  }

  async #runOwners(): Promise<void> {
    const driver = this.#driver;
    const own = async (name: string): Promise<void> => {
      await driver.create(CONFIG_MAPS, { metadata: { name, namespace: NAMESPACE } });
      const { metadata } = await driver.read<ConfigMap>(CONFIG_MAPS, name);
      await driver.create(CONFIG_MAPS, owned(`${name}-child`, { name, uid: metadata?.uid ?? "" }));
    };
    await driver.create(
      CONFIG_MAPS,
      owned("of-nobody", { name: "nobody", uid: "00000000-0000-4000-8000-000000000000" }),
    );
    await Promise.all(["kept", "leaves", "takes"].map(own));
    const { orphanAtMs, collectAtMs } = this.#shape;
    const at = async (ms: number, work: () => Promise<void>): Promise<void> => {
      await this.#world.env.timers.sleep(ms);
      await work();
    };
    await Promise.all([
      at(orphanAtMs, () => driver.remove(CONFIG_MAPS, "leaves", "Orphan")),
      at(collectAtMs, () => driver.remove(CONFIG_MAPS, "takes", "Background")),
    ]);
  }

  /** What is not as it should be; empty where all is. */
  unconverged(): string[] {
    return [...this.#set(), ...this.#claims(), ...this.#job(), ...this.#crowd(), ...this.#owners()];
  }

  /** Claims outlive pods that were scaled away; each has its own volume. */
  #claims(): string[] {
    const { state } = this.#world;
    // Those of no class are of others, and made by hand.
    const isOwn = (spec?: { readonly storageClassName?: string }): boolean => spec?.storageClassName !== "";
    const claims = state.list<PersistentVolumeClaim>("persistentvolumeclaims").filter(({ spec }) => isOwn(spec));
    const volumes = state.list<PersistentVolume>("persistentvolumes").filter(({ spec }) => spec?.csi === undefined);
    const { replicas, next } = this.#shape;
    const wrong: string[] = [];
    for (let at = 0; at < next.replicas; at++) {
      const name = `${CLAIM}-${SET}-${at}`;
      if (!claims.some((one) => one.metadata?.name === name)) wrong.push(`claim ${name} is missing`);
    }
    const open = claims.filter(({ status }) => status?.phase !== "Bound");
    // A claim whose pod was scaled away before it was placed waits for the next one.
    const needed = open.filter(({ metadata }) => Number(metadata?.name?.split("-").at(-1)) < next.replicas);
    wrong.push(...needed.map(({ metadata, status }) => `claim ${metadata?.name} is ${status?.phase}`));
    const most = Math.max(replicas, next.replicas);
    if (claims.length > most || volumes.length !== claims.length - open.length) {
      wrong.push(`${volumes.length} volumes for ${claims.length - open.length} bound of ${claims.length} claims`);
    }
    return [...wrong, ...volumes.filter(({ status }) => status?.phase !== "Bound").map(describeVolume)];
  }

  #set(): string[] {
    const { next } = this.#shape;
    const { state } = this.#world;
    const set = state.list<StatefulSet>("statefulsets").find((one) => one.metadata?.name === SET);
    const pods = state.owned<Pod>("pods", set?.metadata?.uid);
    const good = pods.filter((pod) => isReady(pod) && pod.spec?.containers[0]?.image === imageOf(next.revision));
    const names = good.map((pod) => pod.metadata?.name ?? "").toSorted((a, b) => (a < b ? -1 : 1));
    const wanted = Array.from({ length: next.replicas }, (_, at) => `${SET}-${at}`);
    if (pods.length !== wanted.length || names.join() !== wanted.join()) {
      return [`the StatefulSet has ${names.join()} of ${pods.length} pods; ${wanted.join()} are wanted`];
    }
    const { status, metadata } = set ?? {};
    const told = status?.observedGeneration === metadata?.generation && status?.updatedReplicas === next.replicas;
    return told && status?.currentRevision === status?.updateRevision ? [] : ["the StatefulSet's status is behind"];
  }

  #crowd(): string[] {
    const { most } = this.#shape.mostLater;
    const { state } = this.#world;
    const pods = state.pods.filter((pod) => pod.metadata?.labels?.["crowd"] === CROWD);
    const ready = pods.filter(isReady).length;
    if (ready !== most || pods.length !== most) {
      return [`${ready} of ${pods.length} pods of the crowd are ready; its autoscaler should have made ${most}`];
    }
    const found = state.list<HorizontalPodAutoscaler>("horizontalpodautoscalers")[0];
    return found?.status?.currentReplicas === most ? [] : ["the autoscaler's status is behind"];
  }

  #job(): string[] {
    const { state, checker } = this.#world;
    const found = state.list<Job>("jobs").find((one) => one.metadata?.name === JOB);
    const { status } = found ?? {};
    const complete = status?.conditions?.some(({ type, status: holds }) => type === "Complete" && holds === "True");
    if (complete !== true) return [`the Job is not complete: ${JSON.stringify(status)}`];
    const { completions, indexed } = this.#shape;
    const ended = checker.jobs.ended(found?.metadata?.uid ?? "");
    const { succeeded = 0, failed = 0 } = status ?? {};
    const wrong: string[] = [];
    const exact = succeeded === (indexed ? ended.indexes : ended.succeeded) && failed <= ended.failed;
    if (!exact || succeeded < completions) {
      wrong.push(`the Job counts ${succeeded} and ${failed}; its pods say ${JSON.stringify(ended)}`);
    }
    const held = state
      .owned<Pod>("pods", found?.metadata?.uid)
      .filter((pod) => (pod.metadata?.finalizers ?? []).length);
    if (held.length > 0) wrong.push(`${held.length} pods are still held for the Job's count`);
    return wrong;
  }

  #owners(): string[] {
    const maps = new Map(this.#world.state.list<ConfigMap>("configmaps").map((one) => [one.metadata?.name ?? "", one]));
    const wrong: string[] = [];
    for (const name of ["kept", "kept-child", "leaves-child"]) if (!maps.has(name)) wrong.push(`${name} is missing`);
    for (const name of ["leaves", "takes", "takes-child", "of-nobody"]) {
      if (maps.has(name)) wrong.push(`${name} is still there`);
    }
    const orphan = maps.get("leaves-child")?.metadata?.ownerReferences ?? [];
    return orphan.length === 0 ? wrong : [...wrong, "leaves-child still names its owner"];
  }
}
