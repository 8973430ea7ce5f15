// Where pods would go if some nodes were gone and others were there: what a cluster autoscaler asks before it acts. The live
// snapshot is changed and changed back within one turn, so that nobody else sees it; nothing is written.
import { newBadRequest } from "@coxswain/apimachinery";
import type { Node, NodeSelectorTerm, Pod } from "@coxswain/api";
import type { PlacementInput, WhatIfRequest, WhatIfResponseInput } from "@coxswain/protos/scheduler-v1.gen";
import type { CycleState } from "./framework/contract.ts";
import { Framework, type ScheduleOptions } from "./framework/plan-schedule.ts";
import { RowProbe } from "./framework/row-probe.ts";
import { makePodInfo, type PodInfo } from "./pod-info.ts";
import type { ClusterSnapshot } from "./snapshot/cluster-snapshot.ts";

export interface WhatIfParts {
  readonly snapshot: ClusterSnapshot;
  /** By spec.schedulerName; see `placingFrameworks`. */
  readonly frameworks: ReadonlyMap<string, Framework>;
  readonly schedule: ScheduleOptions;
  /** The pod "namespace/name" as it is now. */
  readonly pod: (key: string) => Pod | undefined;
}

const HOSTNAME = "kubernetes.io/hostname";

/** Frameworks that place pods but never look for victims: nobody is preempted for a question. */
export function placingFrameworks(frameworks: ReadonlyMap<string, Framework>): Map<string, Framework> {
  const placing = ({ profile }: Framework): Framework =>
    new Framework({
      ...profile,
      plugins: profile.plugins.map((one) =>
        one.plugin.postFilter === undefined
          ? one
          : { ...one, plugin: Object.create(one.plugin, { postFilter: { value: undefined } }) as typeof one.plugin },
      ),
    });
  return new Map([...frameworks].map(([name, framework]) => [name, placing(framework)]));
}

/** Throws BadRequest for what is no Node or no Pod. */
export function whatIf(parts: WhatIfParts, request: WhatIfRequest): WhatIfResponseInput {
  const daemons = request.daemonPods.map((bytes) => parse(bytes, "daemon_pods") as Pod);
  const added = request.addNodes.flatMap((template, at) =>
    Array.from({ length: template.copies }, (_, number) =>
      copyOf(parse(template.node, "add_nodes.node") as Node, `${at}-upcoming-${number + 1}`),
    ),
  );
  const { spare } = request;
  const spareNode = spare === null ? undefined : (parse(spare.node, "spare.node") as Node);
  const scene = new Scene(parts, daemons);
  try {
    for (const name of request.removeNodes) scene.remove(name);
    for (const node of added) scene.add(node);
    const placements: PlacementInput[] = [];
    const copies: string[] = [];
    for (const key of request.pods) {
      placements.push(place(scene, key, copies, spareNode, spare?.copies ?? 0));
    }
    return { placements, copies: copies.length };
  } finally {
    scene.undo();
  }
}

function place(scene: Scene, key: string, copies: string[], spare: Node | undefined, limit: number): PlacementInput {
  const there = scene.nodeOf(key);
  // It has got a node meanwhile.
  if (there !== undefined) return { node: there };
  const pod = scene.pod(key);
  if (typeof pod === "string") return { message: pod };
  let found = scene.place(pod);
  if (found.node === undefined && spare !== undefined) {
    // Also where there may be no more: the answer says why, or that nothing else is in the way.
    const fresh = copyOf(spare, `spare-${copies.length + 1}`);
    const name = fresh.metadata?.name ?? "";
    scene.add(fresh);
    const why = scene.misfit(pod, name);
    if (why === undefined && copies.length < limit) {
      copies.push(name);
      found = scene.place(pod);
    } else {
      scene.takeAway(name);
      found = { node: undefined, message: why ?? "" };
    }
  }
  if (found.node === undefined) return { message: found.message };
  return { node: found.node, copy: copies.indexOf(found.node) + 1 };
}

function parse(bytes: Uint8Array, field: string): object {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8")) as object;
  } catch (error) {
    throw newBadRequest(`${field}: Invalid value: ${(error as Error).message}`);
  }
}

/** The same node under another name. */
function copyOf(node: Node, suffix: string): Node {
  const name = `${node.metadata?.name ?? "template"}-${suffix}`;
  const labels = { ...node.metadata?.labels, [HOSTNAME]: name };
  return { ...node, metadata: { ...node.metadata, name, labels, uid: name } };
}

/** The pod of a DaemonSet for one node: as its controller makes them, tied to the node by affinity. */
function pinned(pod: Pod, node: string, place: number): Pod {
  const only = { matchFields: [{ key: "metadata.name", operator: "In", values: [node] }] };
  const affinity = pod.spec?.affinity;
  const terms: NodeSelectorTerm[] =
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const nodeSelectorTerms = terms.length === 0 ? [only] : terms.map((term) => ({ ...term, ...only }));
  const required = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } };
  const name = `${pod.metadata?.name ?? "daemon"}-${place}-${node}`;
  return {
    ...pod,
    metadata: { ...pod.metadata, name, uid: `${name}-uid` },
    spec: {
      containers: [],
      ...pod.spec,
      affinity: { ...affinity, nodeAffinity: { ...affinity?.nodeAffinity, ...required } },
    },
  };
}

interface Removed {
  readonly node: Node;
  readonly pods: readonly { readonly info: PodInfo; readonly assumed: boolean }[];
}

interface Found {
  readonly node: string | undefined;
  readonly message: string;
}

/** The snapshot, changed; `undo` makes it what it was. */
class Scene {
  readonly #parts: WhatIfParts;
  readonly #daemons: readonly Pod[];
  readonly #removed: Removed[] = [];
  readonly #added = new Set<string>();
  readonly #placed = new Map<string, PodInfo>();
  /** How to give back what placed pods would take besides their room. */
  readonly #taken = new Map<string, () => void>();

  constructor(parts: WhatIfParts, daemons: readonly Pod[]) {
    this.#parts = parts;
    this.#daemons = daemons;
  }

  nodeOf(key: string): string | undefined {
    return this.#parts.snapshot.nodeOfPod(key);
  }

  /** The pod as one that waits for a node, or why there is none to place. */
  pod(key: string): Pod | string {
    const pod = this.#parts.pod(key);
    if (pod === undefined) return `pod ${key} not found`;
    const name = pod.spec?.schedulerName ?? "";
    if (!this.#parts.frameworks.has(name)) return `${name} is not a profile of this scheduler`;
    const { nodeName, ...spec } = pod.spec ?? { containers: [] };
    return nodeName === undefined ? pod : { ...pod, spec };
  }

  remove(name: string): void {
    const { snapshot } = this.#parts;
    const row = snapshot.rowOf(name);
    if (row < 0) return;
    const node = snapshot.nodes[row]!;
    const pods = [...snapshot.pods[row]!.values()].map((info) => ({ info, assumed: snapshot.isAssumed(info.key) }));
    this.#removed.push({ node, pods });
    for (const { info } of pods) snapshot.removePod(info.key);
    snapshot.removeNode(name);
  }

  add(node: Node): void {
    const { snapshot } = this.#parts;
    const name = node.metadata?.name ?? "";
    if (snapshot.rowOf(name) >= 0) throw newBadRequest(`a node ${name} is there already`);
    this.#added.add(name);
    snapshot.upsertNode(node);
    for (const [at, pod] of this.#daemons.entries()) {
      const info = makePodInfo(pinned(pod, name, at));
      const framework = this.#parts.frameworks.get(pod.spec?.schedulerName ?? "");
      const plan = framework?.planSchedule(info, snapshot, this.#parts.schedule);
      if (framework !== undefined && plan?.kind === "node") this.#assume(framework, plan.cycle, name);
    }
  }

  /** A node that was added, with all that was placed there. */
  takeAway(name: string): void {
    const { snapshot } = this.#parts;
    for (const [key, info] of this.#placed) {
      if (snapshot.nodeOfPod(key) !== name) continue;
      snapshot.forget(key, info.uid);
      this.#giveBack(key);
      this.#placed.delete(key);
    }
    snapshot.removeNode(name);
    this.#added.delete(name);
  }

  place(pod: Pod): Found {
    const { snapshot, schedule } = this.#parts;
    const info = makePodInfo(pod);
    const framework = this.#framework(pod);
    const plan = framework.planSchedule(info, snapshot, schedule);
    if (plan.kind === "unschedulable") return { node: undefined, message: plan.message };
    this.#assume(framework, plan.cycle, plan.node);
    return { node: plan.node, message: "" };
  }

  /** Why the pod does not fit on one node; undefined where it does. */
  misfit(pod: Pod, name: string): string | undefined {
    const { snapshot, schedule } = this.#parts;
    const framework = this.#framework(pod);
    const cycle: CycleState = { info: makePodInfo(pod), snapshot, state: new Map() };
    const skipped = new Set<string>();
    const pre = framework.runPreFilter(cycle, skipped);
    if (pre.rejection !== undefined) return pre.rejection.rejection.reasons.join(", ");
    if (pre.nodeNames?.has(name) === false) return `node(s) didn't satisfy plugin(s) [${pre.narrowedBy.join(" ")}]`;
    const probe = new RowProbe(cycle, framework.filters, skipped, schedule.random);
    return probe.fits(snapshot.rowOf(name), false)?.reasons.join(", ");
  }

  undo(): void {
    const { snapshot } = this.#parts;
    for (const [key, info] of this.#placed) {
      snapshot.forget(key, info.uid);
      this.#giveBack(key);
    }
    for (const name of this.#added) snapshot.removeNode(name);
    for (const { node, pods } of this.#removed) {
      snapshot.upsertNode(node);
      for (const { info, assumed } of pods) {
        if (assumed) snapshot.assume(info, node.metadata?.name ?? "");
        else snapshot.upsertPod(info.pod);
      }
    }
  }

  #framework(pod: Pod): Framework {
    return this.#parts.frameworks.get(pod.spec?.schedulerName ?? "")!;
  }

  #assume(framework: Framework, cycle: CycleState, node: string): void {
    const { info } = cycle;
    this.#parts.snapshot.assume(info, node);
    this.#placed.set(info.key, info);
    const undo = framework.at("reserve").flatMap((plugin) => plugin.imagine?.(cycle, node) ?? []);
    if (undo.length > 0) this.#taken.set(info.key, () => undo.forEach((one) => one()));
  }

  #giveBack(key: string): void {
    this.#taken.get(key)?.();
    this.#taken.delete(key);
  }
}
