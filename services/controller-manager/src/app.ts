// The controller-manager: runs all controllers while it leads. Guarantees:
// - Controllers write only with the proof of leadership; when it is lost they stop, and the process campaigns again.
// - Caches are kept by leaders and followers alike, so that a takeover starts at once.
import type {
  AggregatedClient,
  AggregatedReader,
  EventRecorder,
  InformerFactory,
  LeaderElector,
  ResourceClient,
} from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import type { LegacyTokenSigner } from "@coxswain/component-base/identity/legacy-tokens";
import { createManager } from "@coxswain/controller-runtime";
import { isAbort } from "@coxswain/env";
import { createBootstrapSigner, createTokenCleaner } from "./bootstrap-tokens/controllers.ts";
import { createApprovingController } from "./certificates/approving.ts";
import { createCertificateCleaner } from "./certificates/cleaner.ts";
import type { loadAuthority } from "./certificates/load-authority.ts";
import { createSigningController, type SigningOptions } from "./certificates/signing.ts";
import { createAggregationController } from "./cluster-role-aggregation/controller.ts";
import { createAttachDetachController } from "./attach-detach/controller.ts";
import { createCaches, type ControllerContext, type ManagedController } from "./controller-context.ts";
import { controllersService } from "./controllers-service.ts";
import { createCronJobController } from "./cron-job/controller.ts";
import { createDaemonSetController } from "./daemon-set/controller.ts";
import { createDeploymentController } from "./deployment/controller.ts";
import { createDisruptionController } from "./disruption/controller.ts";
import { createStaleConditionController } from "./disruption/stale-conditions.ts";
import { createMirroringController, type MirroringOptions } from "./endpoint-slice-mirroring/controller.ts";
import { createEndpointSliceController, type EndpointSliceOptions } from "./endpoint-slice/controller.ts";
import { createEndpointsController } from "./endpoints/controller.ts";
import { createEphemeralVolumeController } from "./ephemeral-volume/controller.ts";
import { createGarbageCollector } from "./garbage-collector/controller.ts";
import { createJobController } from "./job/controller.ts";
import { createTtlController } from "./job/ttl.ts";
import { createNamespaceController } from "./namespace/controller.ts";
import { createVolumeExpander } from "./node-disk/expander.ts";
import { createNodeDiskProvisioner } from "./node-disk/provisioner.ts";
import { createNodeIpamController, type NodeIpamOptions } from "./node-ipam/controller.ts";
import { createNodeLifecycleController, type NodeLifecycleOptions } from "./node-lifecycle/controller.ts";
import { createTaintEvictionController } from "./node-lifecycle/taint-eviction.ts";
import { createVolumeBinder } from "./persistent-volume/controller.ts";
import { createNodeTtlController } from "./node-ttl/controller.ts";
import { createPodAutoscaler, type PodAutoscalerOptions } from "./pod-autoscaler/controller.ts";
import { createPodGcController, type PodGcOptions } from "./pod-gc/controller.ts";
import { createReplicaSetController, createReplicationControllerController } from "./replica-set/controller.ts";
import { createResourceClaimController } from "./resource-claim/controller.ts";
import { createRootCaController } from "./root-ca/controller.ts";
import { createServiceAccountController } from "./service-account/controller.ts";
import { createLegacyTokenCleaner, type TokenCleanerOptions } from "./service-account-token/cleaner.ts";
import { createTokenController, createTokenReferenceController } from "./service-account-token/controller.ts";
import { createServiceCidrController } from "./service-cidr/controller.ts";
import { createStatefulSetController } from "./stateful-set/controller.ts";
import { createClaimProtection } from "./volume-protection/claim-protection.ts";
import { createVolumeProtection } from "./volume-protection/volume-protection.ts";

const PREPARE_RETRY_MS = 1_000;

export interface ControllerManagerOptions
  extends
    EndpointSliceOptions,
    NodeLifecycleOptions,
    NodeIpamOptions,
    PodGcOptions,
    PodAutoscalerOptions,
    SigningOptions,
    TokenCleanerOptions,
    MirroringOptions {
  /** PEM; without it no root CA is published. */
  readonly rootCa?: string;
}

export interface ControllerManagerDeps extends BaseDeps {
  readonly client: ResourceClient;
  /** How metrics APIs are read; without it there is no autoscaling. */
  readonly aggregated?: AggregatedReader;
  /** How objects of other api-servers are collected and deleted; without it they are left alone. */
  readonly remotes?: AggregatedClient;
  readonly informers: InformerFactory;
  readonly elector: LeaderElector;
  /** Makes the recorder of one controller, which is the source of its events. */
  readonly recorderFor: (component: string) => EventRecorder;
  /** Who this process is in elections. */
  readonly identity: string;
  /** Without it no certificate is approved; without its `sign` none is signed. */
  readonly authority?: ReturnType<typeof loadAuthority>;
  /** Signs the tokens in Secrets; without it such Secrets stay without one. */
  readonly tokens?: LegacyTokenSigner;
  readonly options?: ControllerManagerOptions;
}

function createControllers(deps: ControllerManagerDeps): { all: ManagedController[]; flush: () => Promise<void> } {
  const { env, logger, metrics, informers, elector, options = {} } = deps;
  const caches = createCaches(informers);
  const client = deps.client.fenced(() => elector.fence());
  const recorders: EventRecorder[] = [];
  const context = (component: string): ControllerContext => {
    const recorder = deps.recorderFor(component);
    recorders.push(recorder);
    return { env, logger, metrics, client, informers, caches, recorder };
  };
  const all = [
    createDeploymentController(context("deployment-controller")),
    createReplicaSetController(context("replicaset-controller")),
    createReplicationControllerController(context("replication-controller")),
    createEndpointSliceController(context("endpoint-slice-controller"), options),
    createEndpointsController(context("endpoint-controller")),
    createMirroringController(context("endpoint-slice-mirroring-controller"), options),
    createGarbageCollector(context("garbage-collector-controller"), deps.remotes),
    createNodeLifecycleController(context("node-controller"), options),
    createTaintEvictionController(context("taint-eviction-controller")),
    createNodeIpamController(context("cidrAllocator"), options),
    createDisruptionController(context("controllermanager")),
    createStaleConditionController(context("controllermanager")),
    createCronJobController(context("cronjob-controller")),
    createDaemonSetController(context("daemonset-controller")),
    createStatefulSetController(context("statefulset-controller")),
    createJobController(context("job-controller")),
    createTtlController(context("ttl-after-finished-controller")),
    createPodGcController(context("pod-garbage-collector"), options),
    ...(deps.aggregated === undefined
      ? []
      : [createPodAutoscaler(context("horizontal-pod-autoscaler"), deps.aggregated, options)]),
    createAttachDetachController(context("attachdetach-controller")),
    createVolumeBinder(context("persistentvolume-controller")),
    createNodeDiskProvisioner(context("coxswain.dev/node-disk")),
    createVolumeExpander(context("volume_expand")),
    createClaimProtection(context("pvc-protection-controller")),
    createVolumeProtection(context("pv-protection-controller")),
    createEphemeralVolumeController(context("ephemeral_volume")),
    createResourceClaimController(context("resource_claim")),
    createNamespaceController(context("namespace-controller"), deps.remotes),
    createServiceAccountController(context("serviceaccount-controller")),
    ...(options.rootCa === undefined
      ? []
      : [createRootCaController(context("root-ca-cert-publisher"), options.rootCa)]),
    createAggregationController(context("clusterrole-aggregation-controller")),
    createBootstrapSigner(context("bootstrap-signer-controller")),
    createTokenCleaner(context("token-cleaner-controller")),
    createServiceCidrController(context("service-cidr-controller")),
    createNodeTtlController(context("ttl-controller")),
    createTokenReferenceController(context("serviceaccount-token-controller")),
    createLegacyTokenCleaner(context("legacy-service-account-token-cleaner"), options),
    ...(deps.tokens === undefined
      ? []
      : [createTokenController(context("serviceaccount-token-controller"), deps.tokens, options.rootCa)]),
    ...certificateControllers(deps.authority, context("certificate-controller"), options),
  ];
  return { all, flush: async () => void (await Promise.all(recorders.map((recorder) => recorder.flush()))) };
}

function certificateControllers(
  authority: ControllerManagerDeps["authority"],
  context: ControllerContext,
  options: SigningOptions,
): ManagedController[] {
  const { parse, sign } = authority ?? {};
  return [
    createCertificateCleaner(context),
    ...(parse === undefined ? [] : [createApprovingController(context, { parse })]),
    ...(parse === undefined || sign === undefined ? [] : [createSigningController(context, { parse, sign }, options)]),
  ];
}

/** The controller-manager of one process. */
export function createControllerManager(deps: ControllerManagerDeps): ComponentApp {
  const { informers, elector, logger, env, metrics } = deps;
  const { all, flush } = createControllers(deps);
  const manager = createManager({ env, logger, informers });
  for (const { controller } of all) manager.add(controller);
  let synced = false;

  async function lead(leading: AbortSignal, stopping: AbortSignal): Promise<void> {
    for (const { prepare } of all) if (prepare !== undefined) await prepareSurely(prepare, leading);
    await manager.run(leading, stopping);
  }

  /** The api-server may be away just now: that must not end the process. */
  async function prepareSurely(prepare: (signal: AbortSignal) => Promise<void>, leading: AbortSignal): Promise<void> {
    while (!leading.aborted) {
      try {
        await prepare(leading);
        return;
      } catch (error) {
        logger.warn({ err: error }, "could not prepare to lead yet");
        await env.timers.sleep(PREPARE_RETRY_MS, leading).catch(() => undefined);
      }
    }
  }

  const depth = metrics.gauge("workqueue_depth", "Keys that wait, by controller.", ["name"]);
  const report = (): void => {
    for (const state of manager.list().map((one) => one.state())) depth.set(state.queueDepth, { name: state.name });
  };
  return {
    grpcServices: [controllersService({ manager, elector, isSynced: () => synced })],
    checks: { "informer-sync": () => (synced ? undefined : "informers have not synced") },
    leader: () => elector.isLeader(),
    facts: () => ({ identity: deps.identity, leader: elector.leader(), controllers: String(all.length) }),
    async run(signal) {
      informers.start(signal);
      const timer = env.timers.setInterval(report, 5_000);
      try {
        await informers.waitForSync(signal);
        synced = true;
        await elector.run((leading) => lead(leading, signal), signal);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      } finally {
        env.timers.clear(timer);
      }
      await flush();
    },
  };
}
