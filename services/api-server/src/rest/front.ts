// Everything in front of the pipeline, put together: the REST server with discovery, OpenAPI, health and the pods' streams,
// and the gRPC services. main.ts makes one with real parts, tests with doubles.
import type { KindDefinition } from "@coxswain/api";
import type { GrpcService, Logger, Metrics } from "@coxswain/component-base";
import type { TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Env } from "@coxswain/env";
import { auditedPipeline } from "../audit/audited-pipeline.ts";
import type { Auditor } from "../audit/auditor.ts";
import type { AggregatedApis, RemoteVersion } from "../aggregation/aggregator.ts";
import type { Authenticator, Authorizer, Pipeline } from "../pipeline/contract.ts";
import { createDiscovery } from "../discovery/discovery-documents.ts";
import { createDiscoveryPaths, createRootPaths } from "../discovery/discovery-paths.ts";
import { createProcessPaths, processPaths } from "../discovery/process-paths.ts";
import type { Checks, ProcessPathDeps, VersionInfo } from "../discovery/process-paths.ts";
import { controlledPipeline } from "../flow-control/controlled-pipeline.ts";
import { createFlowDebugPaths } from "../flow-control/debug-paths.ts";
import type { FlowControl } from "../flow-control/flow-control.ts";
import type { ObjectSource } from "../pipeline/extension.ts";
import { BUILT_IN, type KindSource } from "../extensions/kind-source.ts";
import { createAggregatedService } from "../grpc/aggregated-service.ts";
import { createDiscoveryService } from "../grpc/discovery-service.ts";
import { createResourcesService } from "../grpc/resources-service.ts";
import { createOpenApi } from "../openapi/openapi-documents.ts";
import { createOpenApiPaths, openApiPaths } from "../openapi/openapi-paths.ts";
import type { PathHandler } from "./deps.ts";
import type { ProtobufEncoder } from "./encode.ts";
import { createKubeletDialer } from "./kubelet-dialer.ts";
import { createPodConnect } from "./pod-connect.ts";
import { createProxyConnect, firstConnect } from "./proxy/proxy-connect.ts";
import type { Dial } from "./proxy/proxy-transport.ts";
import type { RestServer } from "./server.ts";
import { createRestServer } from "./server.ts";

export interface FrontDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly metricsText: () => Promise<string>;
  readonly pipeline: Pipeline;
  /** The built-in kinds where unset. */
  readonly kinds?: KindSource;
  /** Nobody else serves a part of the API where unset. */
  readonly aggregated?: AggregatedApis;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly keys: TokenSigner;
  readonly checks: () => Checks;
  readonly protobuf: ProtobufEncoder;
  /** host:port under which clients reach this server. */
  readonly advertiseAddress: string;
  readonly servingTls: TlsMaterial;
  /** The api-server as a client of kubelets. */
  readonly clientTls: TlsMaterial;
  /** No audit log is kept where unset. */
  readonly auditor?: Auditor;
  /** Absent: everybody is let in at once. */
  readonly flow?: { readonly control: FlowControl; readonly source: ObjectSource };
  /** How proxied requests reach pods and nodes; TCP unless given. */
  readonly dial?: Dial;
}

export interface Front {
  readonly rest: RestServer;
  readonly grpcServices: readonly GrpcService[];
  /** Ends watches, lets requests finish, frees channels. */
  close(): Promise<void>;
}

export const GIT_VERSION = "v1.35.2+coxswain.0.1.0";

const VERSION: VersionInfo = {
  major: "1",
  minor: "35",
  emulationMajor: "1",
  emulationMinor: "35",
  minCompatibilityMajor: "1",
  minCompatibilityMinor: "34",
  gitVersion: GIT_VERSION,
  gitCommit: "0000000000000000000000000000000000000000",
  gitTreeState: "clean",
  buildDate: "2026-11-23T00:00:00Z",
  goVersion: `none; Node.js ${process.version}`,
  compiler: "v8",
  platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
};

function firstOf(...handlers: readonly PathHandler[]): PathHandler {
  return async (request) => {
    for (const handler of handlers) {
      const answer = await handler(request);
      if (answer !== undefined) return answer;
    }
    return undefined;
  };
}

const NO_REMOTES: readonly RemoteVersion[] = [];

/** What is made of all that is served: made again, on demand, when kinds have come or gone, here or at a remote. */
function perServed<T>(
  source: KindSource,
  aggregated: AggregatedApis | undefined,
  make: (kinds: readonly KindDefinition[], remotes: readonly RemoteVersion[]) => T,
): () => T {
  let kinds: readonly KindDefinition[] | undefined;
  let remotes: readonly RemoteVersion[] | undefined;
  let made: T | undefined;
  return () => {
    const [kindsNow, remotesNow] = [source.all(), aggregated?.versions() ?? NO_REMOTES];
    if (made === undefined || kinds !== kindsNow || remotes !== remotesNow) {
      [kinds, remotes] = [kindsNow, remotesNow];
      made = make(kindsNow, remotesNow);
    }
    return made;
  };
}

/** What gRPC calls: under flow control and audited, as REST's handler is. */
function grpcPipeline({ env, pipeline, flow, auditor }: FrontDeps): Pipeline {
  const inner = flow === undefined ? pipeline : controlledPipeline(pipeline, flow.control, flow.source);
  return auditor === undefined ? inner : auditedPipeline(inner, { env, auditor });
}

/** Nothing listens until `rest.listen`; the gRPC services go into the process's gRPC server. */
export function createFront(deps: FrontDeps): Front {
  const kinds = deps.kinds ?? BUILT_IN;
  const { flow } = deps;
  const countOf = (group: string, resource: string): number => flow?.source.count?.({ group, resource }) ?? 0;
  let closing = false;
  const dialer = createKubeletDialer(deps.clientTls);
  const pods = createPodConnect({ pipeline: deps.pipeline, authorizer: deps.authorizer, dialer });
  const connect = firstConnect(pods, createProxyConnect({ ...deps, dialer }));
  const ofProcess: ProcessPathDeps = {
    version: VERSION,
    checks: deps.checks,
    shuttingDown: () => closing,
    metricsText: deps.metricsText,
    openIdConfiguration: () => deps.keys.openIdConfiguration(`https://${deps.advertiseAddress}/openid/v1/jwks`),
    jwks: () => deps.keys.publicJwks(),
  };
  const served = perServed(kinds, deps.aggregated, (all, remotes) => {
    const openApi = createOpenApi(all, remotes);
    const documents = createDiscovery(all, deps.advertiseAddress, remotes);
    return {
      openApi,
      paths: firstOf(
        createDiscoveryPaths(documents),
        createRootPaths(documents, [...openApiPaths(openApi), ...processPaths(ofProcess)]),
        createOpenApiPaths(openApi, () => deps.env.clock.now()),
      ),
    };
  });
  const paths = firstOf(
    createProcessPaths(ofProcess),
    flow === undefined ? () => undefined : createFlowDebugPaths(flow.control, () => deps.env.clock.monotonic()),
    (request) => served().paths(request),
  );
  const { env, logger, metrics, pipeline, authenticator, authorizer, protobuf } = deps;
  const rest = createRestServer(
    {
      env,
      logger,
      metrics,
      pipeline,
      authenticator,
      authorizer,
      protobuf,
      paths,
      connect,
      ...(deps.aggregated === undefined ? {} : { aggregated: deps.aggregated }),
      ...(deps.auditor === undefined ? {} : { auditor: deps.auditor }),
      ...(flow === undefined ? {} : { flow: flow.control, countOf }),
      kindFor: (group, version, resource) => kinds.kindFor({ group, version, resource }),
    },
    deps.servingTls,
  );
  return {
    rest,
    grpcServices: [
      createResourcesService(grpcPipeline(deps), env.timers),
      createDiscoveryService(
        () => kinds.all(),
        () => served().openApi,
      ),
      createAggregatedService(deps.aggregated, authorizer),
    ],
    async close() {
      closing = true;
      await rest.close();
      pods.close();
    },
  };
}
