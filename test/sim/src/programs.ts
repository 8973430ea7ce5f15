// The programs of the simulated cluster: each service unmodified, on the contracts' doubles.
import { createApiServer } from "@coxswain/api-server/app";
import { createBootstrapPolicyRun } from "@coxswain/api-server/auth/bootstrap-reconcile";
import { createSecurity } from "@coxswain/api-server/auth/security";
import { newServiceUnavailable, StatusError, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
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
import { collectStats } from "@coxswain/kubelet/stats/node-stats";
import { createMetricsServer, type NodeSample } from "@coxswain/metrics-server";
import { createScheduler } from "@coxswain/scheduler/app";
import type { Actor } from "./actor.ts";
import { createSimBus } from "./sim-bus.ts";
import { createSimClient } from "./sim-client.ts";
import { carried, type SimProcess } from "./sim-process.ts";
import { createSimAuthority } from "./sim-authority.ts";
import { createSimLegacySigner, createSimSigner } from "./sim-signer.ts";
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
      const security = createSecurity({ env, logger, keys: createSimSigner(env), anonymous: false });
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

/** What is published as the cluster's CA. */
export const ROOT_CA = "-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n";

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
        aggregated: { read: (path) => readMetrics(world, process, path) },
        authority: createSimAuthority(),
        tokens: createSimLegacySigner(),
        options: { rootCa: ROOT_CA },
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
      for (const manager of app.managers.values()) world.kubelets.set(node, { process, manager });
      process.onDeath(() => world.kubelets.delete(node));
      await app.run(world.forever);
    },
  };
}

const RESOLUTION_MS = 15_000;
const READ_TIMEOUT_MS = 10_000;

/** What the kubelets that can answer say: in the simulation all of them have one address. */
async function samples(world: World): Promise<NodeSample[]> {
  const able = [...world.kubelets.values()].filter(({ process }) => process.alive && !process.frozen);
  const all = await Promise.all(able.map(({ process, manager }) => process.perform(() => collectStats(manager))));
  return all.map(({ node, simulated, usage, pods }) => ({
    node,
    simulated,
    usage,
    containers: pods.flatMap(({ namespace, name, containers }) =>
      containers.map((one) => ({ ...one, namespace, pod: name, container: one.name })),
    ),
  }));
}

export function metricsServer(world: World, name: string): Program {
  return {
    name,
    async run(process) {
      const { client, informers, logger } = connect(world, process, component("metrics-server"));
      const app = createMetricsServer({
        env: process.env,
        logger,
        metrics: noMetrics,
        client,
        informers,
        source: { keep: () => {}, collect: () => process.carry(samples(world)) },
        options: { advertiseAddress: "127.0.0.1", instance: name, ca: "", resolutionMs: RESOLUTION_MS },
      });
      world.metricsServer = { process, api: app.api };
      process.onDeath(() => void (world.metricsServer = undefined));
      await app.run(world.forever);
    },
  };
}

/** The way of a component to metrics.k8s.io, without the api-server between: nobody else serves a part of the API here. */
function readMetrics(world: World, reader: SimProcess, path: string): Promise<unknown> {
  const { pathname, searchParams } = new URL(path, "https://simulated");
  if (!pathname.startsWith("/apis/metrics.k8s.io/")) {
    return Promise.reject(new StatusError("NotFound", 404, "the server could not find the requested resource"));
  }
  const away = (): StatusError => newServiceUnavailable("the server is currently unable to handle the request");
  const server = world.metricsServer;
  if (server === undefined) return Promise.reject(away());
  const { process, api } = server;
  const answer = process.perform(() => api.answer({ path: pathname, query: searchParams, table: false }));
  const gone = new Promise<never>((_, reject) => process.onDeath(() => reject(away())));
  const late = reader.env.timers.sleep(READ_TIMEOUT_MS).then(() => Promise.reject(away()));
  return reader.carry(Promise.race([answer, gone, late]));
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
