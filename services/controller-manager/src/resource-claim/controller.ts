// The resource claim controller: makes the claims that pods want from templates, keeps their list of consumers true, and gives
// devices back when the last consumer has gone. Guarantees:
// - A claim that is there and was not made for the pod is never taken for its own.
// - A reservation is dropped only where its pod surely is gone, replaced, or done.
import {
  PODS,
  RESOURCE_CLAIM_TEMPLATES,
  RESOURCE_CLAIMS,
  type DeviceResourceClaim,
  type Pod,
  type PodResourceClaim,
  type ResourceClaimConsumerReference,
  type ResourceClaimTemplate,
} from "@coxswain/api";
import {
  CLAIM_FINALIZER,
  isReservedFor,
  notOfPod,
  podClaimKeys,
  podClaimName,
  reservedFor,
} from "@coxswain/api/resource-v1/pod-device-claims";
import { isReason, newNotFound, objectKey, RecentMap } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { tally } from "../tally.ts";
import { withoutFinalizer } from "../volume-protection/plan.ts";
import { createSlowly, named } from "../writes/create-named.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import {
  claimFromTemplate,
  isLeftOver,
  isPodDone,
  judgeConsumer,
  lacksClaim,
  needsWork,
  ownerOf,
  planRelease,
  POD_CLAIM_ANNOTATION,
} from "./plan.ts";

const BY_DEVICE_CLAIM = "device-claim";
const BY_OWNING_POD = "owning-pod";
const WORKERS = 50;
const MAX_GONE = 500;
const EXTENDED_RESOURCE = "resource.kubernetes.io/extended-resource-claim";
const STRATEGIC = "application/strategic-merge-patch+json";

const adminAccess = ({ spec }: DeviceResourceClaim): string =>
  String((spec?.devices?.requests ?? []).some(({ exactly }) => exactly?.adminAccess === true));

/** Who asked for the claim; "" for a person. */
function sourceOf({ metadata }: DeviceResourceClaim): string {
  if (metadata?.annotations?.[EXTENDED_RESOURCE] === "true") return "extended_resource";
  return metadata?.annotations?.[POD_CLAIM_ANNOTATION] ? "resource_claim_template" : "";
}

export function createResourceClaimController(context: ControllerContext): ManagedController {
  const { env, caches, client, informers, metrics, recorder } = context;
  const pods = caches.pods;
  const claims = informers.informer<DeviceResourceClaim>(RESOURCE_CLAIMS);
  const templates = informers.informer<ResourceClaimTemplate>(RESOURCE_CLAIM_TEMPLATES);
  /** Pods with claims that were seen to go: of them nobody has to ask the api-server. */
  const gone = new RecentMap<string, true>(MAX_GONE);
  /** Made, and not shown by the cache yet; by name, of each pod. */
  const made = new Map<string, Map<string, string>>();

  pods.addIndex(BY_DEVICE_CLAIM, (pod) => (pod.spec?.resourceClaims === undefined ? [] : podClaimKeys(pod)));
  claims.addIndex(BY_OWNING_POD, (claim) => {
    const owner = ownerOf(claim);
    return owner === undefined ? [] : [owner.uid];
  });

  const creates = metrics.counter("resourceclaim_controller_creates_total", "Claims that were to be made.", [
    "status",
    "admin_access",
  ]);
  const present = metrics.gauge("resourceclaim_controller_resource_claims", "Claims that there are.", [
    "allocated",
    "admin_access",
    "source",
  ]);
  tally(claims, present, (claim) => ({
    allocated: String(claim.status?.allocation !== undefined),
    admin_access: adminAccess(claim),
    source: sourceOf(claim),
  }));

  const lookupFor = (pod: Pod) => ({
    claim: (name: string): DeviceResourceClaim | undefined =>
      claims.lister.get(`${pod.metadata?.namespace ?? ""}/${name}`),
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const [kind, object] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
    await (kind === "pod" ? reconcilePod(object, signal) : reconcileClaim(object));
  }

  async function reconcilePod(key: string, signal: AbortSignal): Promise<void> {
    const pod = pods.lister.get(key);
    if (pod === undefined || pod.metadata?.deletionTimestamp !== undefined) return;
    const names = new Map<string, string>();
    for (const podClaim of pod.spec?.resourceClaims ?? []) {
      if (!lacksClaim(pod, podClaim, lookupFor(pod))) continue;
      const name = await makeSaying(pod, podClaim, signal);
      if (name !== undefined) names.set(podClaim.name, name);
    }
    if (names.size > 0) await tell(pod, names);
    // Of a pod without a node the scheduler reserves the claims.
    if (pod.spec?.nodeName) await reserveAll(pod);
  }

  async function makeSaying(pod: Pod, podClaim: PodResourceClaim, signal: AbortSignal): Promise<string | undefined> {
    try {
      return await make(pod, podClaim, signal);
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      const message = `PodResourceClaim ${podClaim.name}: ${error instanceof Error ? error.message : String(error)}`;
      const subject = { ...pod, apiVersion: "v1", kind: "Pod" };
      recorder.event(subject, "Warning", "FailedResourceClaimCreation", message);
      throw error;
    }
  }

  /** The name of the pod's claim: one that is there though the pod does not say so, or a new one. */
  async function make(pod: Pod, podClaim: PodResourceClaim, signal: AbortSignal): Promise<string> {
    const uid = pod.metadata?.uid ?? "";
    const present = claims.lister
      .byIndex(BY_OWNING_POD, uid)
      .find((claim) => claim.metadata?.annotations?.[POD_CLAIM_ANNOTATION] === podClaim.name);
    const known = present?.metadata?.name ?? made.get(uid)?.get(podClaim.name);
    if (known !== undefined) return known;
    const templateName = podClaim.resourceClaimTemplateName ?? "";
    const template = templates.lister.get(`${pod.metadata?.namespace ?? ""}/${templateName}`);
    if (template === undefined) {
      const { message } = newNotFound({ group: "resource.k8s.io", resource: "resourceclaimtemplate" }, templateName);
      throw new Error(`resource claim template ${JSON.stringify(templateName)}: ${message}`);
    }
    const claim = named(env, claimFromTemplate(pod, podClaim.name, template));
    const [outcome] = await createSlowly({ env, client }, RESOURCE_CLAIMS, [claim], { initialBatch: 1, signal });
    const admin_access = adminAccess(claim);
    if (outcome?.kind !== "skipped") {
      creates.inc({ status: outcome?.kind === "created" ? "success" : "failure", admin_access });
    }
    if (outcome?.kind !== "created") {
      if (outcome === undefined || outcome.kind === "skipped") throw new Error("create ResourceClaim: not tried");
      if (isNamespaceTerminating(outcome.error)) throw outcome.error;
      throw new Error(`create ResourceClaim : ${outcome.error.message}`, { cause: outcome.error });
    }
    const name = claim.metadata?.name ?? "";
    made.set(uid, (made.get(uid) ?? new Map<string, string>()).set(podClaim.name, name));
    return name;
  }

  async function tell(pod: Pod, names: ReadonlyMap<string, string>): Promise<void> {
    const { namespace, name = "", uid } = pod.metadata ?? {};
    const statuses = [...names].map(([claim, resourceClaimName]) => ({ name: claim, resourceClaimName }));
    const patch = { metadata: { uid }, status: { resourceClaimStatuses: statuses } };
    try {
      await client.patch(PODS, { namespace, name }, STRATEGIC, patch, { subresource: "status" });
    } catch (error) {
      if (isReason(error, "NotFound")) return;
      const text = error instanceof Error ? error.message : String(error);
      throw new Error(`update pod ${objectKey(pod)} ResourceClaimStatuses: ${text}`, { cause: error });
    }
  }

  /** A pod that got its node without a scheduler runs with allocated claims, too. */
  async function reserveAll(pod: Pod): Promise<void> {
    for (const podClaim of pod.spec?.resourceClaims ?? []) {
      const found = podClaimName(pod, podClaim);
      if (found.kind !== "named") continue;
      const claim = lookupFor(pod).claim(found.name);
      if (claim === undefined) return;
      const foreign = found.generated ? notOfPod(claim, pod) : undefined;
      if (foreign !== undefined) throw new Error(foreign);
      if (!claim.status?.allocation || isReservedFor(claim, pod)) continue;
      await client.update(RESOURCE_CLAIMS, reservedFor(claim, pod), { subresource: "status" });
    }
  }

  async function reconcileClaim(key: string): Promise<void> {
    const claim = claims.lister.get(key);
    if (claim === undefined) return;
    const valid = await validConsumers(claim);
    try {
      await release(claim, valid);
      if (valid.length > 0) return;
      const owner = ownerOf(claim);
      const pod = owner && pods.lister.get(`${claim.metadata?.namespace ?? ""}/${owner.name}`);
      if (!isLeftOver(claim, pod) || claim.metadata?.deletionTimestamp !== undefined) return;
      const { namespace, name = "", uid } = claim.metadata ?? {};
      await client.delete(RESOURCE_CLAIMS, { namespace, name }, { preconditions: { uid } });
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  async function validConsumers(claim: DeviceResourceClaim): Promise<ResourceClaimConsumerReference[]> {
    const namespace = claim.metadata?.namespace ?? "";
    const valid: ResourceClaimConsumerReference[] = [];
    for (const consumer of claim.status?.reservedFor ?? []) {
      const known = pods.lister.get(`${namespace}/${consumer.name}`);
      const verdict = judgeConsumer(consumer, known, (uid) => gone.get(uid) === true);
      if (verdict === "keep" || (verdict === "ask" && (await isThere(namespace, consumer)))) valid.push(consumer);
    }
    return valid;
  }

  async function isThere(namespace: string, { name, uid }: ResourceClaimConsumerReference): Promise<boolean> {
    try {
      const pod = await client.get<Pod>(PODS, { namespace, name });
      return pod.metadata?.uid === uid;
    } catch (error) {
      if (isReason(error, "NotFound")) return false;
      throw error;
    }
  }

  /** With the version that was looked at: who reserved the claim meanwhile keeps it. */
  async function release(claim: DeviceResourceClaim, valid: readonly ResourceClaimConsumerReference[]): Promise<void> {
    const plan = planRelease(claim, valid);
    const stored =
      plan.status === undefined
        ? claim
        : await client.update<DeviceResourceClaim>(RESOURCE_CLAIMS, plan.status, { subresource: "status" });
    if (plan.release) await client.update(RESOURCE_CLAIMS, withoutFinalizer(stored, CLAIM_FINALIZER));
  }

  const name = "resource-claim-controller";
  const controller = createController({ name, reconcile, workers: WORKERS }, context);

  function enqueuePod(pod: Pod, deleted: boolean): void {
    if ((pod.spec?.resourceClaims ?? []).length === 0) return;
    if (deleted) {
      gone.set(pod.metadata?.uid ?? "", true);
      made.delete(pod.metadata?.uid ?? "");
    }
    if (deleted || isPodDone(pod)) for (const key of podClaimKeys(pod)) controller.enqueue(`claim:${key}`);
    if (needsWork(pod, lookupFor(pod))) controller.enqueue(`pod:${objectKey(pod)}`);
  }

  function enqueueClaim(claim: DeviceResourceClaim, deleted: boolean): void {
    const key = objectKey(claim);
    const owner = ownerOf(claim);
    const annotated = claim.metadata?.annotations?.[POD_CLAIM_ANNOTATION];
    // The cache has it now, or had it.
    if (owner !== undefined && annotated !== undefined) made.get(owner.uid)?.delete(annotated);
    if (!deleted) controller.enqueue(`claim:${key}`);
    for (const pod of pods.lister.byIndex(BY_DEVICE_CLAIM, key)) enqueuePod(pod, false);
  }

  pods.addHandler({
    add: (pod) => enqueuePod(pod, false),
    update(pod, old) {
      if (pod.metadata?.uid !== old.metadata?.uid) enqueuePod(old, true);
      enqueuePod(pod, false);
    },
    delete: (pod) => enqueuePod(pod, true),
  });
  claims.addHandler({
    add: (claim) => enqueueClaim(claim, false),
    update: (claim) => enqueueClaim(claim, false),
    delete: (claim) => enqueueClaim(claim, true),
  });
  return { controller };
}
