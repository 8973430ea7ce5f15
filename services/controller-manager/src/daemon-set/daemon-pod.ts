// The pod of a DaemonSet on a node, and on which nodes it should be. Pure.
// https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled
import type { DaemonSet, Node, Pod, Toleration } from "@coxswain/api";
import { podMatchesNode, untolerated } from "@coxswain/api/core-v1/node-match";
import { deepClone } from "@coxswain/apimachinery";
import { controllerReference } from "../ownership/controller-ref.ts";
import { REVISION_LABEL } from "../revisions/history.ts";

const TEMPLATE_GENERATION = "pod-template-generation";
const GENERATION_ANNOTATION = "deprecated.daemonset.template.generation";

const DAEMON_TOLERATIONS: readonly (readonly [key: string, effect: string])[] = [
  ["not-ready", "NoExecute"],
  ["unreachable", "NoExecute"],
  ["disk-pressure", "NoSchedule"],
  ["memory-pressure", "NoSchedule"],
  ["pid-pressure", "NoSchedule"],
  ["unschedulable", "NoSchedule"],
];

function tolerationsOf({ spec }: DaemonSet): Toleration[] {
  const pod = spec?.template?.spec;
  const keys =
    pod?.hostNetwork === true
      ? [...DAEMON_TOLERATIONS, ["network-unavailable", "NoSchedule"] as const]
      : DAEMON_TOLERATIONS;
  const wanted = keys.map(([key, effect]) => ({ key: `node.kubernetes.io/${key}`, operator: "Exists", effect }));
  const given = pod?.tolerations ?? [];
  const known = (one: Toleration): boolean =>
    given.some((other) => other.key === one.key && other.effect === one.effect && other.operator === one.operator);
  return [...given, ...wanted.filter((one) => !known(one))];
}

/** The node that a daemon's pod is for, also before it is bound. */
export function nodeOf({ spec }: Pod): string | undefined {
  if (spec?.nodeName) return spec.nodeName;
  const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  return terms.flatMap(({ matchFields = [] }) => matchFields).find(({ key }) => key === "metadata.name")?.values?.[0];
}

export interface Eligibility {
  readonly shouldRun: boolean;
  /** A pod that is there may stay. */
  readonly mayStay: boolean;
}

export function eligibility(set: DaemonSet, node: Node): Eligibility {
  const spec = set.spec?.template?.spec;
  const name = node.metadata?.name ?? "";
  const named = spec?.nodeName === undefined || spec.nodeName === "" || spec.nodeName === name;
  if (!named || !podMatchesNode(spec === undefined ? {} : { spec }, node)) return { shouldRun: false, mayStay: false };
  const [taints, tolerations] = [node.spec?.taints ?? [], tolerationsOf(set)];
  const banned = untolerated(taints, tolerations, ["NoSchedule", "NoExecute"]) !== undefined;
  return { shouldRun: !banned, mayStay: untolerated(taints, tolerations, ["NoExecute"]) === undefined };
}

/** For one node; it still lacks its name. */
export function podForNode(set: DaemonSet, nodeName: string, hash: string): Pod {
  const template = deepClone(set.spec?.template ?? {});
  const generation = set.metadata?.annotations?.[GENERATION_ANNOTATION];
  const spec = template.spec!;
  const only = { key: "metadata.name", operator: "In", values: [nodeName] };
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  // Terms are alternatives: each is narrowed to the node.
  const terms = required?.nodeSelectorTerms.map((term) => ({ ...term, matchFields: [only] })) ?? [
    { matchFields: [only] },
  ];
  spec.affinity = {
    ...spec.affinity,
    nodeAffinity: {
      ...spec.affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms },
    },
  };
  spec.tolerations = tolerationsOf(set);
  const labels = { ...template.metadata?.labels, [REVISION_LABEL]: hash };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: `${set.metadata?.name ?? ""}-`,
      namespace: set.metadata?.namespace,
      labels: generation === undefined ? labels : { ...labels, [TEMPLATE_GENERATION]: generation },
      ...(template.metadata?.annotations === undefined ? {} : { annotations: template.metadata.annotations }),
      ...(template.metadata?.finalizers === undefined ? {} : { finalizers: template.metadata.finalizers }),
      ownerReferences: [controllerReference(set, "apps/v1", "DaemonSet")],
    },
    spec,
  };
}
