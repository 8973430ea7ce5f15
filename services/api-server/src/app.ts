// The api-server's core without any wire: storage, watch cache, registry, admission, allocation, change feed, composed around
// one pipeline. Fronts (REST, gRPC) are put around it by main.ts; the simulator calls the pipeline directly.
import {
  mutatingAdmissionPolicyBindingKind,
  mutatingAdmissionPolicyKind,
} from "@coxswain/api/admissionregistration-v1beta1/mutating-policies";
import { allKinds } from "@coxswain/api/scheme";
import type { ResourceClient } from "@coxswain/client";
import type { BaseDeps, UserInfo } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { EventBus } from "@coxswain/event-bus";
import type { Storage } from "@coxswain/storage";
import { createCertificateApproval, createCertificateSigning } from "./admission/certificate-permissions.ts";
import { certificateRequestor } from "./admission/certificate-requestor.ts";
import { certificateSubjectRestriction } from "./admission/certificate-subject.ts";
import { AdmissionChain } from "./admission/chain.ts";
import { createClaimResize } from "./admission/claim-resize.ts";
import { createDefaultIngressClass, createDefaultStorageClass } from "./admission/default-classes.ts";
import { createLimitRanger } from "./admission/limit-ranger.ts";
import { createNamespaceLifecycle } from "./admission/namespace-lifecycle.ts";
import { createDeviceAdminAccess } from "./admission/device-admin-access.ts";
import { createNodeRestriction } from "./admission/node-restriction.ts";
import { taintNodesByCondition } from "./admission/node-taint.ts";
import { defaultTolerationSeconds } from "./admission/pod-defaults.ts";
import { createMutatingWebhooks, createValidatingWebhooks, type CallWebhook } from "./admission/dynamic/webhooks.ts";
import { createMutatingPolicies } from "./admission/policies/mutating.ts";
import { runPolicyStatus } from "./admission/policies/policy-status.ts";
import { createValidatingPolicies } from "./admission/policies/validating.ts";
import { createPolicyPermissions } from "./admission/policy-permissions.ts";
import { createPodTopologyLabels } from "./admission/pod-topology-labels.ts";
import { createPodSecurity } from "./admission/pod-security/pod-security.ts";
import { createPriority } from "./admission/priority.ts";
import { createRuntimeClass } from "./admission/runtime-class.ts";
import { createServiceAccountAdmission } from "./admission/service-account.ts";
import { storageProtection } from "./admission/storage-protection.ts";
import { registerLocalServices, runLocalServices } from "./aggregation/local-services.ts";
import { createAllocationIndex, repairAllocations } from "./allocation/allocation-index.ts";
import { ipRange, portRange } from "./allocation/ranges.ts";
import { createServiceRanges } from "./allocation/service-ranges.ts";
import { isReserved, runIpAddresses } from "./allocation/ip-addresses.ts";
import { createServiceAllocator } from "./allocation/service-allocator.ts";
import { createInProcessClient } from "./client/in-process-client.ts";
import { CustomKinds, type KindSource } from "./extensions/kind-source.ts";
import { converterOf } from "./extensions/webhook-conversion.ts";
import { runDefinitionController } from "./extensions/definition-controller.ts";
import { DEFAULT_GATES, type FeatureGates } from "./features/feature-gates.ts";
import { SERVED_BY_DEFAULT, type Served } from "./features/runtime-config.ts";
import { runCompactor } from "./feed/compactor.ts";
import { runEventExpiry } from "./feed/event-expiry.ts";
import { runFlowObjects } from "./flow-control/maintain-objects.ts";
import { runPublisher } from "./feed/publisher.ts";
import type { Authorizer, Pipeline } from "./pipeline/contract.ts";
import type { AdmissionPlugin, ObjectSource, PipelineExtensions } from "./pipeline/extension.ts";
import { createPipeline } from "./pipeline/pipeline.ts";
import { bootstrap, type AdvertisedAddress } from "./registry/bootstrap.ts";
import { createQuotaGuard } from "./quota/quota-guard.ts";
import { runQuotaStatus } from "./quota/quota-status.ts";
import { Committer } from "./registry/committer.ts";
import { Registry } from "./registry/registry.ts";
import { WatchCache } from "./watch-cache/watch-cache.ts";

const ELECTION_TTL_MS = 5_000;
const RETRY_MS = 1_000;

export interface ApiServerDeps extends BaseDeps, PipelineExtensions {
  readonly storage: Storage;
  readonly bus: EventBus;
  /** Unique among the api-servers of a cluster. */
  readonly id: string;
  /** "10.96.0.0/16" where unset. */
  readonly serviceCidr?: string;
  /** "30000-32767" where unset. */
  readonly nodePortRange?: string;
  /** Where api-servers are reached from inside the cluster: the endpoints of default/kubernetes. */
  readonly advertisedAddresses?: readonly AdvertisedAddress[];
  /** Names of built-in admission plugins to leave out, as in ["ServiceAccount"]. */
  readonly disabledAdmission?: readonly string[];
  /** Which built-in kinds are served; those of stable versions where unset. */
  readonly served?: Served;
  readonly features?: FeatureGates;
  /** How admission webhooks are reached; without it none are asked. */
  readonly webhooks?: (source: ObjectSource) => CallWebhook;
}

export interface ApiServerFacts {
  /** Revisions that the watch cache is known to be behind storage. */
  readonly lagRevisions: bigint;
  readonly storageConnected: boolean;
  readonly busConnected: boolean;
  readonly publisher: boolean;
  readonly resourceVersion: string;
  readonly watchers: number;
}

export interface ApiServer {
  readonly pipeline: Pipeline;
  /** What is served at the moment. */
  readonly kinds: KindSource;
  readonly source: ObjectSource;
  readonly authorizer: Authorizer | undefined;
  /** The api-server's own client: system:apiserver in system:masters, past no admission. */
  readonly loopback: ResourceClient;
  /** Works until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Undefined when requests can be served, else why not. */
  ready(): string | undefined;
  facts(): ApiServerFacts;
}

const LOOPBACK_USER: UserInfo = { username: "system:apiserver", groups: ["system:masters", "system:authenticated"] };

export function createApiServer(deps: ApiServerDeps): ApiServer {
  const { env, logger, storage, bus } = deps;
  const cache = new WatchCache({ ...deps, kinds: allKinds().filter((kind) => kind.stored && kind.form === undefined) });
  const call = deps.webhooks?.(cache);
  const kinds = new CustomKinds(cache, logger, (crd) => converterOf({ random: env.random, call }, crd), deps.served);
  const clusterIps = ipRange(deps.serviceCidr ?? "10.96.0.0/16");
  const nodePorts = portRange(deps.nodePortRange ?? "30000-32767");
  const inUse = createAllocationIndex(cache);
  const ranges = createServiceRanges(cache, clusterIps);
  const reserved = (ip: string): boolean => isReserved(cache, ip);
  const allocator = createServiceAllocator({ random: env.random, clusterIps: ranges, nodePorts, inUse, reserved });
  const guarded = !(deps.disabledAdmission ?? []).includes("ResourceQuota");
  const contributors = guarded ? [allocator, createQuotaGuard(cache, env.clock)] : [allocator];
  const committer = new Committer(storage, contributors, cache);
  const authorizer = typeof deps.authorizer === "function" ? deps.authorizer(cache) : deps.authorizer;
  const admission = new AdmissionChain(plugins(deps, cache, committer, authorizer, kinds, call));
  const registry = new Registry({ env, cache, committer, admission });
  const { review, issueToken, components } = deps;
  const base = { env, logger, storage, cache, registry, admission, authorizer, review, issueToken, components };
  const pipeline = createPipeline({ ...base, kinds });
  // The server keeps its own objects, be they served to others or not.
  const own = createPipeline({ ...base, kinds: kinds.whole });
  const loopback = createInProcessClient({ pipeline: own, env, user: LOOPBACK_USER });
  const localServices = { ...deps, source: cache, kinds, client: loopback };
  let publishing = false;
  let bootstrapped = false;

  async function start(signal: AbortSignal): Promise<void> {
    await retrying(deps, signal, "bootstrap", async () => {
      await cache.whenPrimed(signal);
      await cache.caughtUp();
      await bootstrap(loopback, clusterIps, deps.advertisedAddresses ?? []);
      await registerLocalServices(localServices);
    });
    bootstrapped = true;
  }

  async function lead(signal: AbortSignal): Promise<void> {
    const candidate = storage.candidate("publisher", deps.id, ELECTION_TTL_MS);
    while (!signal.aborted) {
      await retrying(deps, signal, "publisher", async () => {
        await cache.whenPrimed(signal);
        const election = await candidate.campaign(signal);
        const term = election.term.toString();
        const leading = AbortSignal.any([signal, election.lost]);
        publishing = true;
        logger.info({ term }, "publishing changes");
        try {
          const repair = repairAllocations(cache, storage, logger).catch((error: unknown) => {
            logger.warn({ error: String(error) }, "could not repair allocations");
          });
          const work = [
            runPublisher({ env, logger, bus, cache }, `${term}-${deps.id}`, leading),
            runCompactor(deps, leading),
            runQuotaStatus({ env, logger, cache, client: loopback, kinds }, leading),
            runEventExpiry({ env, logger, source: cache, client: loopback }, leading),
            runPolicyStatus({ env, logger, source: cache, client: loopback, kinds }, leading),
            runDefinitionController({ env, logger, source: cache, client: loopback }, leading),
            runLocalServices(localServices, leading),
            runIpAddresses({ env, logger, source: cache, client: loopback }, leading),
            runFlowObjects({ env, logger, source: cache, client: loopback }, leading),
          ];
          await Promise.all([...work, repair]);
        } finally {
          publishing = false;
          await election.resign();
        }
      });
    }
  }

  return {
    pipeline,
    kinds,
    source: cache,
    authorizer,
    loopback,
    async run(signal) {
      await Promise.all([cache.run(signal), start(signal), lead(signal)]);
    },
    ready: () => cache.unready() ?? (bootstrapped ? undefined : "the cluster is not bootstrapped"),
    facts: () => {
      const { revisions, connected } = cache.lag();
      return {
        lagRevisions: revisions,
        storageConnected: connected,
        busConnected: bus.connected,
        publisher: publishing,
        resourceVersion: cache.throughRv.toString(),
        watchers: cache.watcherCount(),
      };
    },
  };
}

/** In upstream's order. */
function plugins(
  deps: ApiServerDeps,
  cache: WatchCache,
  committer: Committer,
  authorizer: Authorizer | undefined,
  served: KindSource,
  call: CallWebhook | undefined,
): AdmissionPlugin[] {
  const kinds = new Map(allKinds().map((kind) => [kind.resource, kind]));
  const read = async (resource: string, namespace: string, name: string) =>
    (await committer.read(kinds.get(resource)!, namespace, name))?.object;
  const extra = typeof deps.admission === "function" ? deps.admission(cache) : (deps.admission ?? []);
  const { logger, env, metrics } = deps;
  const policies = { source: cache, authorizer, kinds: () => served };
  const webhooks = call && { ...policies, logger, random: env.random, call };
  const all = [
    createNamespaceLifecycle(cache, (name) => read("namespaces", "", name)),
    createLimitRanger(cache),
    createServiceAccountAdmission(
      cache,
      (namespace, name) => read("serviceaccounts", namespace, name),
      deps.env.random,
    ),
    createNodeRestriction(cache, authorizer),
    taintNodesByCondition,
    createPodSecurity(cache, (name) => read("namespaces", "", name), metrics),
    createPriority(cache, (name) => read("priorityclasses", "", name)),
    defaultTolerationSeconds,
    createDefaultStorageClass(cache),
    storageProtection,
    createClaimResize(cache),
    createDeviceAdminAccess(cache, (name) => read("namespaces", "", name)),
    createRuntimeClass(cache, (name) => read("runtimeclasses", "", name)),
    certificateRequestor,
    createCertificateApproval(authorizer),
    createCertificateSigning(authorizer),
    certificateSubjectRestriction,
    createDefaultIngressClass(cache),
    createPodTopologyLabels(cache),
    createPolicyPermissions(policies),
    ...(actsByMutatingPolicies(deps) ? [createMutatingPolicies(policies)] : []),
    ...(webhooks === undefined ? [] : [createMutatingWebhooks(webhooks)]),
    createValidatingPolicies(policies),
    ...(webhooks === undefined ? [] : [createValidatingWebhooks(webhooks)]),
    ...extra,
  ];
  return all.filter((plugin) => !(deps.disabledAdmission ?? []).includes(plugin.name));
}

/** They need the feature, and act where they can be written: else nobody could take one back. */
function actsByMutatingPolicies({ served = SERVED_BY_DEFAULT, features = DEFAULT_GATES }: ApiServerDeps): boolean {
  return (
    features.MutatingAdmissionPolicy &&
    served(mutatingAdmissionPolicyKind) &&
    served(mutatingAdmissionPolicyBindingKind)
  );
}

/** Tries until it succeeds or `signal` aborts. */
async function retrying(
  { env, logger }: BaseDeps,
  signal: AbortSignal,
  what: string,
  attempt: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      logger.warn({ what, error: String(error) }, "failed, will try again");
    }
    try {
      await env.timers.sleep(RETRY_MS, signal);
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }
}
