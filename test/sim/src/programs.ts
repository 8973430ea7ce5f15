// The programs of the simulated cluster: each service unmodified, on the contracts' doubles.
import { createApiServer } from "@coxswain/api-server/app";
import { createBootstrapPolicyRun } from "@coxswain/api-server/auth/bootstrap-reconcile";
import { createSecurity } from "@coxswain/api-server/auth/security";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import {
  createEventRecorder,
  createInformerFactory,
  createLeaderElector,
  type InformerFactory,
  type InformerOptions,
  type ResourceClient,
  type SharedInformer,
} from "@coxswain/client";
import { noMetrics, type Logger, type UserInfo } from "@coxswain/component-base";
import { createControllerManager } from "@coxswain/controller-manager/app";
import { createKubeProxy } from "@coxswain/kube-proxy/app";
import type { ProxyBackend } from "@coxswain/kube-proxy/backend/contract";
import { createSimulatedBackend } from "@coxswain/kube-proxy/backend/simulated";
import { createKubelet } from "@coxswain/kubelet/app";
import { createScheduler } from "@coxswain/scheduler/app";
import type { Actor } from "./actor.ts";
import { createSimBus } from "./sim-bus.ts";
import { createSimClient } from "./sim-client.ts";
import { carried, type SimProcess } from "./sim-process.ts";
import { createSimSigner } from "./sim-signer.ts";
import { createSimStorage } from "./sim-storage.ts";
import type { Program } from "./supervisor.ts";
import type { World } from "./world.ts";

/** A cache that some process keeps, for the comparison with the store. */
export interface KnownCache {
  readonly process: SimProcess;
  readonly ref: ResourceRef;
  readonly options: InformerOptions;
  readonly informer: SharedInformer<KubeObject>;
}

export function apiServer(world: World, name: string): Program {
  return {
    name,
    async run(process) {
      const { env } = process;
      const logger = world.logger(process);
      const bus = createSimBus(process, world.network, world.hub);
      const storage = createSimStorage(process, world.network, world.store);
      const security = createSecurity({ env, keys: createSimSigner(env), anonymous: false });
      const id = `${name}_${env.random.uuid()}`;
      const server = createApiServer({
        env,
        logger,
        metrics: noMetrics,
        storage,
        bus,
        id,
        ...security.extensions,
      });
      const policy = createBootstrapPolicyRun({ pipeline: server.pipeline, logger, env });
      world.endpoints.up(process, server.pipeline);
      world.servers.set(name, server);
      process.onDeath(() => world.servers.delete(name));
      await Promise.all([server.run(world.forever), policy.run(world.forever)]);
    },
  };
}

interface Connected {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly logger: Logger;
}

/** What every client of the api-servers has. */
function connect(world: World, process: SimProcess, user: UserInfo, actor: Partial<Actor> = {}): Connected {
  const { network, endpoints } = world;
  const logger = world.logger(process);
  const bus = createSimBus(process, network, world.hub);
  const preferred = world.apiServerNames[world.env.random.int(world.apiServerNames.length)]!;
  const whole: Actor = { process: process.name, identity: "", lease: "", ...actor };
  const client = createSimClient({ process, network, endpoints, user, actor: whole, preferred });
  const factory = createInformerFactory({ env: process.env, logger, client, bus });
  const informers: InformerFactory = {
    ...factory,
    informer<T extends KubeObject>(ref: ResourceRef, options: InformerOptions = {}): SharedInformer<T> {
      const informer = factory.informer<T>(ref, options);
      world.noteCache({ process, ref, options, informer });
      return informer;
    },
  };
  return { client, informers, logger };
}

const component = (name: string): UserInfo => ({ username: `system:${name}`, groups: ["system:authenticated"] });

export function scheduler(world: World, name: string): Program {
  return {
    name,
    async run(process) {
      const { env } = process;
      const identity = `${name}_${env.random.uuid()}`;
      const actor = { identity, lease: "kube-system/kube-scheduler" };
      const { client, informers, logger } = connect(world, process, component("kube-scheduler"), actor);
      const recorder = createEventRecorder({ env, client, logger, component: "default-scheduler" });
      const elector = createLeaderElector(
        { namespace: "kube-system", name: "kube-scheduler", identity },
        { env, client, logger, recorder },
      );
      const app = createScheduler({ env, logger, metrics: noMetrics, client, recorder, identity, informers, elector });
      world.electors.set(name, elector);
      process.onDeath(() => world.electors.delete(name));
      await app.run(world.forever);
    },
  };
}

export function controllerManager(world: World, name: string): Program {
  return {
    name,
    async run(process) {
      const { env } = process;
      const identity = `${name}_${env.random.uuid()}`;
      const actor = { identity, lease: "kube-system/kube-controller-manager" };
      const { client, informers, logger } = connect(world, process, component("kube-controller-manager"), actor);
      const recorderFor = (source: string) => createEventRecorder({ env, client, logger, component: source });
      const elector = createLeaderElector(
        { namespace: "kube-system", name: "kube-controller-manager", identity },
        { env, client, logger, recorder: recorderFor("kube-controller-manager") },
      );
      const app = createControllerManager({
        env,
        logger,
        metrics: noMetrics,
        client,
        informers,
        elector,
        recorderFor,
        identity,
        options: { rootCa: "-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n" },
      });
      world.electors.set(name, elector);
      process.onDeath(() => world.electors.delete(name));
      await app.run(world.forever);
    },
  };
}

/** The simulated runtime lives in the kubelet's process, and dies with it. */
export function kubelet(world: World, name: string, node: string, capacity: Record<string, string>): Program {
  return {
    name,
    async run(process) {
      const { env } = process;
      const user = { username: `system:node:${node}`, groups: ["system:nodes", "system:authenticated"] };
      const { client, informers, logger } = connect(world, process, user);
      const app = createKubelet({
        env,
        logger,
        metrics: noMetrics,
        client,
        informers,
        recorder: createEventRecorder({ env, client, logger, component: "kubelet" }),
        nodes: [node],
        options: { capacity },
      });
      await app.run(world.forever);
    },
  };
}

export function kubeProxy(world: World, name: string, nodes: readonly string[]): Program {
  const backends = new Map<string, ProxyBackend>();
  for (const node of nodes) backends.set(node, createSimulatedBackend({ env: world.env }));
  world.proxyBackends.set(name, backends);
  return {
    name,
    async run(process) {
      const { client, informers, logger } = connect(world, process, component("kube-proxy"));
      const app = createKubeProxy({
        env: process.env,
        logger,
        metrics: noMetrics,
        client,
        informers,
        nodeNames: nodes,
        createBackend: (node) => carried(process, backends.get(node)!),
      });
      await app.run(world.forever);
    },
  };
}
