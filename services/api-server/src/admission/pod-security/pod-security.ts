// PodSecurity: holds pods to the Pod Security Standards that their namespace's labels name. Guarantees: a pod that breaks the
// enforced level is refused; workloads, and pods that break only the level to warn of, go through with a warning; labels that
// mean nothing are refused, and a stricter level tells which pods that are there already break it.
import type { Namespace, ObjectMeta, Pod, PodSpec, PodTemplateSpec } from "@coxswain/api";
import { deepEqual, newForbidden, newInvalid, type KubeObject } from "@coxswain/apimachinery";
import { noMetrics, type Metrics } from "@coxswain/component-base";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../../pipeline/extension.ts";
import { createEvaluationCounts, type EvaluationMode } from "./evaluation-counts.ts";
import { evaluatedPods } from "./existing-pods.ts";
import { formatViolations, violationsOf } from "./evaluate.ts";
import { formatLevel, isStricter, policyOf, policyOfShared, sameLevel } from "./policy.ts";

const NAMESPACES = { group: "", resource: "namespaces" };
const PODS = { group: "", resource: "pods" };
/** Subresources whose body is no pod, or changes nothing of it that is judged. */
const IGNORED = new Set(["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"]);

interface Template {
  readonly metadata: ObjectMeta;
  readonly spec: PodSpec;
}

interface Workload extends KubeObject {
  readonly template?: PodTemplateSpec;
  readonly spec?: {
    readonly template?: PodTemplateSpec;
    readonly jobTemplate?: { readonly spec?: { readonly template?: PodTemplateSpec } };
  };
}

const WORKLOADS: Readonly<Record<string, (object: Workload) => PodTemplateSpec | undefined>> = {
  "/replicationcontrollers": ({ spec }) => spec?.template,
  "/podtemplates": ({ template }) => template,
  "apps/replicasets": ({ spec }) => spec?.template,
  "apps/deployments": ({ spec }) => spec?.template,
  "apps/statefulsets": ({ spec }) => spec?.template,
  "apps/daemonsets": ({ spec }) => spec?.template,
  "batch/jobs": ({ spec }) => spec?.template,
  "batch/cronjobs": ({ spec }) => spec?.jobTemplate?.spec?.template,
};

type Container = { readonly name: string; readonly image?: string };

function imagesChanged(after: readonly Container[] = [], before: readonly Container[] = []): boolean {
  return after.length !== before.length || after.some(({ image }, index) => image !== before[index]?.image);
}

/** Images are all that can change in a pod and matter. */
function isSignificant({ spec }: Pod, { spec: before }: Pod): boolean {
  const known = new Map((before?.ephemeralContainers ?? []).map((container) => [container.name, container.image]));
  return (
    imagesChanged(spec?.containers, before?.containers) ||
    imagesChanged(spec?.initContainers, before?.initContainers) ||
    (spec?.ephemeralContainers ?? []).some(({ name, image }) => !known.has(name) || known.get(name) !== image)
  );
}

/** What the request wants to run, and whether it is a pod itself. */
function templateOf({
  kind,
  operation,
  subresource,
  object,
  old,
}: AdmissionAttributes): (Template & { pod: boolean }) | undefined {
  if (kind.group === "" && kind.resource === "pods") {
    if (IGNORED.has(subresource)) return undefined;
    const pod = object as Pod;
    if (pod.spec === undefined || (operation === "UPDATE" && !isSignificant(pod, old as Pod))) return undefined;
    return { metadata: pod.metadata ?? {}, spec: pod.spec, pod: true };
  }
  const template = subresource === "" ? WORKLOADS[`${kind.group}/${kind.resource}`]?.(object as Workload) : undefined;
  if (template?.spec === undefined) return undefined;
  return { metadata: template.metadata ?? {}, spec: template.spec, pod: false };
}

/** `read` asks storage, for a namespace that the cache may not have seen yet. */
export function createPodSecurity(
  source: ObjectSource,
  read: (name: string) => Promise<KubeObject | undefined>,
  metrics: Metrics = noMetrics,
): AdmissionPlugin {
  const count = createEvaluationCounts(metrics);
  async function judge(attributes: AdmissionAttributes, template: Template & { pod: boolean }): Promise<void> {
    const { kind, name, namespace } = attributes;
    const cached = source.get(NAMESPACES, "", namespace)?.object;
    const { policy } =
      cached === undefined
        ? policyOf((await read(namespace))?.metadata?.labels)
        : policyOfShared(cached.metadata?.labels);
    const judged = (mode: EvaluationMode): string | undefined => {
      const level = policy[mode];
      const broken = violationsOf(level, template.metadata, template.spec);
      if (broken.length > 0) count("deny", level, mode, attributes);
      else if (mode === "enforce") count("allow", level, mode, attributes);
      if (broken.length === 0) return undefined;
      return `${JSON.stringify(formatLevel(level))}: ${formatViolations(broken)}`;
    };
    // Of what is refused, audits hear too.
    const broken = template.pod ? judged("enforce") : undefined;
    if (template.pod) attributes.annotate?.("pod-security.kubernetes.io/enforce-policy", formatLevel(policy.enforce));
    const audited = judged("audit");
    if (audited !== undefined) {
      attributes.annotate?.("pod-security.kubernetes.io/audit-violations", `would violate PodSecurity ${audited}`);
    }
    if (broken !== undefined) throw newForbidden(kind, name, `violates PodSecurity ${broken}`);
    const warned = judged("warn");
    if (warned !== undefined) attributes.warn?.(`would violate PodSecurity ${warned}`);
  }

  function checkNamespace(attributes: AdmissionAttributes): void {
    const { kind, operation, name, object, old, subresource } = attributes;
    if (subresource !== "") return;
    const { policy, errors } = policyOf((object as Namespace).metadata?.labels);
    const before = operation === "UPDATE" ? policyOf((old as Namespace).metadata?.labels) : undefined;
    if (errors.length > 0 && (before === undefined || !deepEqual(errors, before.errors))) {
      throw newInvalid(kind, name, errors);
    }
    if (before === undefined || sameLevel(policy.enforce, before.policy.enforce)) return;
    const looser =
      policy.enforce.minor === before.policy.enforce.minor && !isStricter(policy.enforce, before.policy.enforce);
    if (policy.enforce.level === "privileged" || looser) return;
    const pods = source.list(PODS, name).map((each) => each.object as Pod);
    for (const text of evaluatedPods(name, policy.enforce, pods)) attributes.warn?.(text);
  }

  return {
    name: "PodSecurity",
    validate(attributes) {
      const { kind, operation } = attributes;
      if ((operation !== "CREATE" && operation !== "UPDATE") || attributes.object === undefined) return;
      if (kind.group === "" && kind.resource === "namespaces") return checkNamespace(attributes);
      const template = templateOf(attributes);
      if (template === undefined) return;
      return judge(attributes, template);
    },
  };
}
