// The subresources that the in-memory double serves: scale, binding, eviction, finalize and token.
import {
  labelSelectorAsSelector,
  newBadRequest,
  newConflict,
  StatusError,
  type KubeObject,
  type LabelSelectorObject,
  type ResourceRef,
} from "@coxswain/apimachinery";
import { memoryKind } from "./memory-kinds.ts";
import { cloneJson } from "./memory-store.ts";
import { deleteObject, mustGet, updateObject, type Loose, type WriteContext } from "./memory-writes.ts";

interface Target {
  readonly namespace: string;
  readonly name: string;
}

const PDBS: ResourceRef = { group: "policy", version: "v1", resource: "poddisruptionbudgets" };
const isPods = (ref: ResourceRef): boolean => ref.group === "" && ref.resource === "pods";
const success = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 } as KubeObject;

function noSuchResource(): StatusError {
  return new StatusError("NotFound", 404, "the server could not find the requested resource");
}

/** The Scale object of a workload, as autoscaling/v1. */
export function scaleOf(context: WriteContext, ref: ResourceRef, target: Target): KubeObject {
  if (!memoryKind(ref).scale) throw noSuchResource();
  const { metadata = {}, spec = {}, status = {} } = mustGet(context, ref, target.namespace, target.name);
  const selector = spec["selector"] as { matchLabels?: Record<string, string> } | undefined;
  const text = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const scale = {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec["replicas"] ?? 1 },
    status: { replicas: status["replicas"] ?? 0, selector: text.toSorted().join(",") },
  };
  return cloneJson(scale) as KubeObject;
}

/** Sets the replicas that `change` gives the Scale object. */
export function updateScale(
  context: WriteContext,
  ref: ResourceRef,
  target: Target,
  change: (old: KubeObject) => KubeObject,
  dryRun: boolean,
): KubeObject {
  const next = change(scaleOf(context, ref, target)) as Loose;
  const replicas = next.spec?.["replicas"] ?? 0;
  const version = next.metadata?.resourceVersion;
  const apply = (old: Loose): Loose => ({
    ...old,
    spec: { ...old.spec, replicas },
    metadata: { ...old.metadata, resourceVersion: version ?? old.metadata?.resourceVersion },
  });
  updateObject(context, ref, target, apply, { dryRun });
  return scaleOf(context, ref, target);
}

function bind(context: WriteContext, ref: ResourceRef, target: Target, body: Loose, dryRun: boolean): KubeObject {
  const node = (body as { target?: { name?: string } }).target?.name ?? "";
  const bindingRef = { group: "", resource: "pods/binding" };
  const apply = (pod: Loose): Loose => {
    const { uid, resourceVersion, labels, annotations } = body.metadata ?? {};
    if (uid && uid !== pod.metadata?.uid) {
      throw newConflict(
        bindingRef,
        target.name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata?.uid}`,
      );
    }
    if (resourceVersion && resourceVersion !== pod.metadata?.resourceVersion) {
      throw newConflict(
        bindingRef,
        target.name,
        `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${pod.metadata?.resourceVersion}`,
      );
    }
    if (pod.metadata?.deletionTimestamp !== undefined) {
      throw newConflict(bindingRef, target.name, `pod ${target.name} is being deleted, cannot be assigned to a host`);
    }
    const bound = pod.spec?.["nodeName"] as string | undefined;
    if (bound) throw newConflict(bindingRef, target.name, `pod ${target.name} is already assigned to node "${bound}"`);
    if (((pod.spec?.["schedulingGates"] as unknown[] | undefined) ?? []).length > 0) {
      throw newConflict(bindingRef, target.name, `pod ${target.name} has non-empty .spec.schedulingGates`);
    }
    const { nominatedNodeName: _, ...status } = pod.status ?? {};
    return {
      ...pod,
      spec: { ...pod.spec, nodeName: node },
      status: { ...status, conditions: withScheduled(context, pod) },
      metadata: {
        ...pod.metadata,
        ...(labels ? { labels: { ...pod.metadata?.labels, ...labels } } : {}),
        ...(annotations ? { annotations: { ...pod.metadata?.annotations, ...annotations } } : {}),
      },
    };
  };
  if (node === "") throw newBadRequest("target.name: Required value");
  updateObject(context, ref, target, apply, { subresource: "binding", dryRun });
  return cloneJson(success);
}

function withScheduled(context: WriteContext, pod: Loose): unknown[] {
  const conditions = (pod.status?.["conditions"] as { type: string }[] | undefined) ?? [];
  const at = new Date(Math.floor(context.env.clock.now() / 1000) * 1000).toISOString().replace(".000Z", "Z");
  const scheduled = { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: at };
  return [...conditions.filter((condition) => condition.type !== "PodScheduled"), scheduled];
}

function evict(context: WriteContext, ref: ResourceRef, target: Target, body: Loose, dryRun: boolean): KubeObject {
  const pod = mustGet(context, ref, target.namespace, target.name);
  const phase = pod.status?.["phase"];
  const budgets = [...context.store.table(PDBS).values()].filter(
    (budget) =>
      budget.metadata?.namespace === target.namespace &&
      labelSelectorAsSelector((budget as Loose).spec?.["selector"] as LabelSelectorObject).matches(
        pod.metadata?.labels,
      ),
  ) as Loose[];
  const options = (body as { deleteOptions?: object }).deleteOptions ?? {};
  if (
    phase !== "Succeeded" &&
    phase !== "Failed" &&
    phase !== "Pending" &&
    pod.metadata?.deletionTimestamp === undefined
  ) {
    if (budgets.length > 1) {
      throw new StatusError(
        "InternalError",
        500,
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
      );
    }
    const budget = budgets[0];
    if (budget !== undefined) spendBudget(context, budget, dryRun);
  }
  deleteObject(context, ref, target, { ...options, dryRun });
  return cloneJson(success);
}

function spendBudget(context: WriteContext, budget: Loose, dryRun: boolean): void {
  const allowed = (budget.status?.["disruptionsAllowed"] as number | undefined) ?? 0;
  const { namespace = "", name = "" } = budget.metadata ?? {};
  if (allowed <= 0) {
    const cause = {
      reason: "DisruptionBudget",
      message: `The disruption budget ${name} does not allow another disruption now`,
    };
    throw new StatusError("TooManyRequests", 429, "Cannot evict pod as it would violate the pod's disruption budget.", {
      causes: [cause],
    });
  }
  const spent = (old: Loose): Loose => ({ ...old, status: { ...old.status, disruptionsAllowed: allowed - 1 } });
  updateObject(context, PDBS, { namespace, name }, spent, { subresource: "status", dryRun });
}

function issueToken(context: WriteContext, ref: ResourceRef, target: Target, body: Loose): KubeObject {
  mustGet(context, ref, target.namespace, target.name);
  const seconds = (body.spec?.["expirationSeconds"] as number | undefined) ?? 3600;
  const expires = new Date(context.env.clock.now() + seconds * 1000).toISOString();
  const token = `memory-token-${target.namespace}-${target.name}-${context.env.random.nameSuffix(8)}`;
  return { ...cloneJson(body), status: { token, expirationTimestamp: expires } } as KubeObject;
}

/** POST to a subresource. */
export function createSubresource(
  context: WriteContext,
  ref: ResourceRef,
  target: Target,
  subresource: string,
  body: KubeObject,
  dryRun: boolean,
): KubeObject {
  if (target.name === "") throw newBadRequest("name must be provided");
  const answer = (): KubeObject => {
    if (isPods(ref) && subresource === "binding") return bind(context, ref, target, body, dryRun);
    if (isPods(ref) && subresource === "eviction") return evict(context, ref, target, body, dryRun);
    if (ref.resource === "serviceaccounts" && subresource === "token") return issueToken(context, ref, target, body);
    throw noSuchResource();
  };
  return answer();
}

/** Subresources that update and patch accept besides scale, which is an object of its own. */
export function checkUpdatable(ref: ResourceRef, subresource: string): void {
  const kind = memoryKind(ref);
  if (subresource === "" || (subresource === "status" && kind.status)) return;
  if (subresource === "approval" && ref.resource === "certificatesigningrequests") return;
  if (subresource === "finalize" && ref.resource === "namespaces") return;
  if (isPods(ref) && ["resize", "ephemeralcontainers"].includes(subresource)) return;
  throw noSuchResource();
}
