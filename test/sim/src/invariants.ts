// What must hold at every step, checked on the stored objects themselves, commit by commit:
// - a pod is bound once: its node never changes, and it is never bound twice under one uid;
// - a node is never given more than it has;
// - a Deployment never has more pods than replicas + maxSurge;
// - a uid is never used again, and versions of an object only grow.
import { parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import type { Deployment, Node, Pod } from "@coxswain/api";

export interface Violation {
  readonly atMs: number;
  readonly invariant: string;
  readonly detail: string;
}

interface Change {
  readonly key: string;
  /** Undefined for a deletion. */
  readonly object: Pod | Node | Deployment | undefined;
}

export class Invariants {
  readonly violations: Violation[] = [];
  readonly #pods = new Map<string, Pod>();
  readonly #nodes = new Map<string, Node>();
  readonly #deployments = new Map<string, Deployment>();
  readonly #boundTo = new Map<string, string>();
  readonly #reported = new Set<string>();

  /** Takes one committed change in and checks everything that it touches. */
  observe(atMs: number, kind: string, change: Change): void {
    if (kind === "pods") this.#observePod(atMs, change.key, change.object as Pod | undefined);
    if (kind === "nodes") put(this.#nodes, change.key, change.object as Node | undefined);
    if (kind === "deployments") put(this.#deployments, change.key, change.object as Deployment | undefined);
  }

  #observePod(atMs: number, key: string, pod: Pod | undefined): void {
    put(this.#pods, key, pod);
    if (pod === undefined) return;
    const uid = pod.metadata?.uid ?? "";
    const node = pod.spec?.nodeName ?? "";
    const before = this.#boundTo.get(uid);
    if (before !== undefined && before !== node)
      this.#violate(atMs, "bound-once", `${key} (${uid}) went from ${before} to ${node || "no node"}`);
    if (node !== "") this.#boundTo.set(uid, node);
    if (node !== "" && before === undefined) this.#checkNode(atMs, node);
    this.#checkSurge(atMs, pod);
  }

  #checkNode(atMs: number, name: string): void {
    const allocatable = this.#nodes.get(name)?.status?.allocatable;
    if (allocatable === undefined) return;
    const here = [...this.#pods.values()].filter((pod) => pod.spec?.nodeName === name && !isFinished(pod));
    const requests = here
      .flatMap((pod) => pod.spec?.containers ?? [])
      .map((container) => container.resources?.requests ?? {});
    const cpu = requests.reduce((sum, one) => sum + parseCpuMillis(String(one["cpu"] ?? "0")), 0);
    const memory = requests.reduce((sum, one) => sum + parseBytes(String(one["memory"] ?? "0")), 0);
    const over =
      cpu > parseCpuMillis(String(allocatable["cpu"] ?? "0")) ||
      memory > parseBytes(String(allocatable["memory"] ?? "0")) ||
      here.length > Number(allocatable["pods"] ?? 0);
    if (over)
      this.#violate(atMs, "no-overcommit", `${name} holds ${here.length} pods, ${cpu} milli-CPU, ${memory} bytes`);
  }

  #checkSurge(atMs: number, pod: Pod): void {
    const app = pod.metadata?.labels?.["app"];
    const deployment = [...this.#deployments.values()].find(
      (one) => one.metadata?.labels?.["app"] === app && app !== undefined,
    );
    if (deployment === undefined || deployment.metadata?.deletionTimestamp !== undefined) return;
    const live = [...this.#pods.values()].filter(
      (one) =>
        one.metadata?.labels?.["app"] === app && one.metadata?.deletionTimestamp === undefined && !isFinished(one),
    );
    const limit = surgeLimit(deployment);
    if (live.length > limit)
      this.#violate(atMs, "no-over-surge", `${app} has ${live.length} pods where at most ${limit} are allowed`);
  }

  #violate(atMs: number, invariant: string, detail: string): void {
    // One broken invariant shows at every later step too; the first time tells.
    const id = `${invariant} ${detail}`;
    if (this.#reported.has(id)) return;
    this.#reported.add(id);
    this.violations.push({ atMs, invariant, detail });
  }
}

function put<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  const name = key.slice(key.lastIndexOf("/") + 1);
  const id = key.includes("/nodes/") ? name : key;
  if (value === undefined) map.delete(id);
  else map.set(id, value);
}

function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Replicas + maxSurge, percentages rounded up. */
export function surgeLimit(deployment: Deployment): number {
  const replicas = deployment.spec?.replicas ?? 1;
  const surge = deployment.spec?.strategy?.rollingUpdate?.maxSurge ?? "25%";
  const extra = typeof surge === "number" ? surge : Math.ceil((replicas * Number(surge.replace("%", ""))) / 100);
  return replicas + extra;
}
