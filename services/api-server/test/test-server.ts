// An api-server on memory doubles, in real time, ready to serve.
import { noMetrics, silentLogger } from "@coxswain/component-base";
import type { ResourceClient } from "@coxswain/client";
import { createRealEnv, type Env } from "@coxswain/env";
import { createMemoryBus } from "@coxswain/event-bus";
import { createMemoryStorage, type MemoryStore, type Storage } from "@coxswain/storage";
import { createApiServer, type ApiServer, type ApiServerDeps } from "../src/app.ts";
import { createInProcessClient } from "../src/client/in-process-client.ts";

export interface TestServer {
  readonly env: Env;
  readonly api: ApiServer;
  readonly client: ResourceClient;
  readonly store: MemoryStore;
  readonly storage: Storage;
  stop(): Promise<void>;
}

const ADMIN = { username: "admin", groups: ["system:masters", "system:authenticated"] };
let ids = 0;

/** Several servers share a `store`. Pods need no ServiceAccount unless `admission` keeps that plugin. */
export async function startTestServer(
  options: Partial<ApiServerDeps> & { store?: MemoryStore; wrapStorage?: (inner: Storage) => Storage } = {},
): Promise<TestServer> {
  const env = options.env ?? createRealEnv();
  const storage = createMemoryStorage({ env, store: options.store });
  const { wrapStorage, ...deps } = options;
  const bus = options.bus ?? createMemoryBus({ env });
  const api = createApiServer({
    logger: silentLogger,
    metrics: noMetrics,
    id: `test-${++ids}`,
    disabledAdmission: ["ServiceAccount"],
    ...deps,
    env,
    storage: wrapStorage?.(storage) ?? storage,
    bus,
  });
  const stop = new AbortController();
  const running = api.run(stop.signal);
  while (api.ready() !== undefined) await new Promise((resolve) => env.timers.defer(() => resolve(undefined)));
  return {
    env,
    api,
    client: createInProcessClient({ pipeline: api.pipeline, user: ADMIN, env }),
    store: storage.store,
    storage,
    async stop() {
      stop.abort();
      await running;
      await storage.close();
    },
  };
}
