// @kubernetes/client-node: typed clients, the object client with every kind of patch, informers, watches, and the streams of pods.
import { PassThrough, Writable } from "node:stream";
import {
  ApiException,
  AppsV1Api,
  Attach,
  AuthenticationV1Api,
  AuthorizationV1Api,
  BatchV1Api,
  CoordinationV1Api,
  CoreV1Api,
  CustomObjectsApi,
  ApiextensionsV1Api,
  Exec,
  type Informer,
  KubeConfig,
  KubernetesObjectApi,
  type KubernetesObject,
  Log,
  makeInformer,
  type ObjectCache,
  PatchStrategy,
  PortForward,
  setHeaderOptions,
  topNodes,
  type V1ConfigMap,
  type V1Deployment,
  V1MicroTime,
  type V1Status,
  VersionApi,
  Watch,
} from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";

const namespace = "client-node";
const kc = new KubeConfig();
let core: CoreV1Api;
let apps: AppsV1Api;
let objects: KubernetesObjectApi;

beforeAll(async () => {
  kc.loadFromFile(inject("kubeconfig"));
  core = kc.makeApiClient(CoreV1Api);
  apps = kc.makeApiClient(AppsV1Api);
  objects = KubernetesObjectApi.makeApiClient(kc);
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  await apps.createNamespacedDeployment({ namespace, body: deployment("web") });
  await eventually(
    () => apps.readNamespacedDeploymentStatus({ namespace, name: "web" }),
    ({ status }) => status?.readyReplicas === 2,
  );
});
afterAll(async () => {
  await core.deleteNamespace({ name: namespace });
});

function deployment(name: string): V1Deployment {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "main", image: "example.test/app:v1" }] },
      },
    },
  };
}

const configMap = (name: string, data: Record<string, string> = {}): V1ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace, labels: { suite: "client-node" } },
  data,
});

const podName = async (): Promise<string> => {
  const { items } = await core.listNamespacedPod({ namespace, labelSelector: "app=web" });
  return items[0]?.metadata?.name ?? "";
};

/** A stream that keeps all that is written to it. */
function collector(): { readonly stream: Writable; text(): string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

describe("typed clients", () => {
  test("read, list in pages, replace, and delete with what depends", async () => {
    expect((await kc.makeApiClient(VersionApi).getCode()).gitVersion).toMatch(/^v1\.35\.2\+coxswain/);
    for (const name of ["page-1", "page-2", "page-3"])
      await core.createNamespacedConfigMap({ namespace, body: configMap(name) });
    const labelSelector = "suite=client-node";
    const names: string[] = [];
    const page = async (_continue?: string): Promise<string | undefined> => {
      const { items, metadata } = await core.listNamespacedConfigMap({ namespace, labelSelector, limit: 2, _continue });
      names.push(...items.map((item) => item.metadata?.name ?? ""));
      return metadata?.["_continue"];
    };
    for (let next = await page(); next !== undefined; next = await page(next));
    expect(names).toEqual(["page-1", "page-2", "page-3"]);
    const read = await core.readNamespacedConfigMap({ namespace, name: "page-1" });
    expect(read.metadata?.creationTimestamp).toBeInstanceOf(Date);
    const replaced = await core.replaceNamespacedConfigMap({
      namespace,
      name: "page-1",
      body: Object.assign(read, { data: { a: "1" } }),
    });
    expect(replaced.data).toEqual({ a: "1" });
    const stale = core.replaceNamespacedConfigMap({ namespace, name: "page-1", body: read });
    await expect(stale).rejects.toMatchObject({ code: 409, body: expect.stringMatching(/"reason":"Conflict"/) });
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector });
    expect((await core.listNamespacedConfigMap({ namespace, labelSelector })).items).toEqual([]);
  });

  test("errors are Status objects", async () => {
    const failure: unknown = await core
      .readNamespacedPod({ namespace, name: "ghost" })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApiException);
    expect(JSON.parse((failure as ApiException<string>).body)).toMatchObject({
      kind: "Status",
      status: "Failure",
      reason: "NotFound",
      message: 'pods "ghost" not found',
      details: { name: "ghost", kind: "pods" },
      code: 404,
    });
  });

  test("jobs run, leases carry microseconds, reviews and token requests answer", async () => {
    const batch = kc.makeApiClient(BatchV1Api);
    const spec = { restartPolicy: "Never", containers: [{ name: "c", image: "example.test/c:v1", command: ["true"] }] };
    await batch.createNamespacedJob({ namespace, body: { metadata: { name: "job" }, spec: { template: { spec } } } });
    await eventually(
      () => batch.readNamespacedJob({ namespace, name: "job" }),
      ({ status }) => status?.succeeded === 1,
    );
    const leases = kc.makeApiClient(CoordinationV1Api);
    const renewTime = new V1MicroTime("2026-01-02T03:04:05.678Z");
    await leases.createNamespacedLease({ namespace, body: { metadata: { name: "lease" }, spec: { renewTime } } });
    const read = await objects.read({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "lease", namespace },
    });
    expect(JSON.stringify(read)).toMatch(/"renewTime":"2026-01-02T03:04:05\.678000Z"/);
    const access = kc.makeApiClient(AuthorizationV1Api);
    const attributes = { namespace, verb: "create", group: "apps", resource: "deployments" };
    const review = await access.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes: attributes } } });
    expect(review.status?.allowed).toBe(true);
    const token = await core.createNamespacedServiceAccountToken({
      namespace,
      name: "default",
      body: { spec: { audiences: ["api"], expirationSeconds: 600 } },
    });
    expect(token.status?.token).toMatch(/^ey/);
    const who = await kc.makeApiClient(AuthenticationV1Api).createSelfSubjectReview({ body: {} });
    expect(who.status?.userInfo?.username).toBe("kubernetes-admin");
  });

  test("pods are evicted and deployments scaled through their subresources", async () => {
    await apps.patchNamespacedDeploymentScale(
      { namespace, name: "web", body: { spec: { replicas: 3 } } },
      setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
    );
    await eventually(
      () => apps.readNamespacedDeploymentScale({ namespace, name: "web" }),
      ({ status }) => status?.replicas === 3,
    );
    const name = await podName();
    await core.createNamespacedPodEviction({ namespace, name, body: { metadata: { name, namespace } } });
    await eventually(
      () => core.listNamespacedPod({ namespace, fieldSelector: `metadata.name=${name}` }),
      ({ items }) => items.length === 0,
    );
  });
});

describe("every kind of patch", () => {
  const patch = (body: KubernetesObject, strategy: PatchStrategy, manager?: string, force?: boolean) =>
    objects.patch(body, undefined, undefined, manager, force, strategy) as Promise<V1Deployment>;

  test("JSON patch", async () => {
    await core.createNamespacedConfigMap({ namespace, body: configMap("patched", { a: "1", b: "2" }) });
    const body = [
      { op: "test", path: "/data/a", value: "1" },
      { op: "move", from: "/data/a", path: "/data/c" },
    ];
    const { data } = await core.patchNamespacedConfigMap(
      { namespace, name: "patched", body },
      setHeaderOptions("Content-Type", PatchStrategy.JsonPatch),
    );
    expect(data).toEqual({ b: "2", c: "1" });
  });

  test("merge patch and strategic merge patch", async () => {
    const merged = await core.patchNamespacedConfigMap(
      { namespace, name: "patched", body: { data: { b: null, d: "4" } } },
      setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
    );
    expect(merged.data).toEqual({ c: "1", d: "4" });
    const containers = [{ name: "side", image: "example.test/side:v1" }];
    const body = { spec: { template: { spec: { containers } } } };
    const strategic = await apps.patchNamespacedDeployment(
      { namespace, name: "web", body },
      setHeaderOptions("Content-Type", PatchStrategy.StrategicMergePatch),
    );
    expect(strategic.spec?.template.spec?.containers.map(({ name }) => name).toSorted()).toEqual(["main", "side"]);
  });

  test("server-side apply: owned, in conflict, forced, and given up", async () => {
    const applied = await patch(deployment("applied"), PatchStrategy.ServerSideApply, "one");
    expect(applied.metadata?.managedFields).toMatchObject([{ manager: "one", operation: "Apply" }]);
    const three = deployment("applied");
    three.spec!.replicas = 3;
    await expect(patch(three, PatchStrategy.ServerSideApply, "two")).rejects.toMatchObject({
      code: 409,
      body: expect.stringMatching(/conflict with \\"one\\": \.spec\.replicas/),
    });
    expect((await patch(three, PatchStrategy.ServerSideApply, "two", true)).spec?.replicas).toBe(3);
    const less = deployment("applied");
    delete less.spec?.replicas;
    expect((await patch(less, PatchStrategy.ServerSideApply, "one", true)).spec?.replicas).toBe(3);
    expect((await patch(less, PatchStrategy.ServerSideApply, "two", true)).spec?.replicas).toBe(1);
    await objects.delete(deployment("applied"));
  });

  test("the object client finds a kind that was defined a moment ago", async () => {
    const definitions = kc.makeApiClient(ApiextensionsV1Api);
    const group = "client-node.example.test";
    const open = { type: "object", x_kubernetes_preserve_unknown_fields: true };
    const schema = { openAPIV3Schema: { type: "object", properties: { spec: open, status: open } } };
    await definitions.createCustomResourceDefinition({
      body: {
        metadata: { name: `knots.${group}` },
        spec: {
          group,
          scope: "Namespaced",
          names: { plural: "knots", kind: "Knot" },
          versions: [{ name: "v1", served: true, storage: true, schema, subresources: { status: {} } }],
        },
      },
    });
    try {
      await eventually(
        () => definitions.readCustomResourceDefinition({ name: `knots.${group}` }),
        ({ status }) =>
          status?.conditions?.some(({ type, status }) => type === "Established" && status === "True") ?? false,
      );
      const knot = {
        apiVersion: `${group}/v1`,
        kind: "Knot",
        metadata: { name: "bowline", namespace },
        spec: { tight: true },
      };
      await objects.create(knot);
      const custom = kc.makeApiClient(CustomObjectsApi);
      const where = { group, version: "v1", namespace, plural: "knots" };
      expect(await custom.getNamespacedCustomObject({ ...where, name: "bowline" })).toMatchObject({
        spec: { tight: true },
      });
      await custom.patchNamespacedCustomObjectStatus(
        { ...where, name: "bowline", body: { status: { tied: true } } },
        setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
      );
      expect(await objects.read(knot)).toMatchObject({ status: { tied: true } });
      expect((await objects.list(`${group}/v1`, "Knot", namespace)).items.length).toBe(1);
    } finally {
      await definitions.deleteCustomResourceDefinition({ name: `knots.${group}` });
    }
  });
});

describe("watching", () => {
  test("an informer lists, follows, keeps a cache, and survives the server's end of its watch", async () => {
    const informer: Informer<V1ConfigMap> & ObjectCache<V1ConfigMap> = makeInformer(
      kc,
      `/api/v1/namespaces/${namespace}/configmaps`,
      () => core.listNamespacedConfigMap({ namespace, labelSelector: "suite=client-node" }),
      "suite=client-node",
    );
    const seen: string[] = [];
    for (const verb of ["add", "update", "delete"] as const)
      informer.on(verb, ({ metadata }) => seen.push(`${verb} ${metadata?.name}`));
    await core.createNamespacedConfigMap({ namespace, body: configMap("before") });
    await informer.start();
    await core.createNamespacedConfigMap({ namespace, body: configMap("after") });
    const body = [{ op: "add", path: "/data", value: { a: "1" } }];
    await core.patchNamespacedConfigMap(
      { namespace, name: "after", body },
      setHeaderOptions("Content-Type", PatchStrategy.JsonPatch),
    );
    await core.deleteNamespacedConfigMap({ namespace, name: "before" });
    await eventually(
      async () => seen,
      (events) => events.includes("delete before"),
    );
    expect(seen.filter((event) => /before|after/.test(event))).toEqual([
      "add before",
      "add after",
      "update after",
      "delete before",
    ]);
    expect(informer.get("after", namespace)?.data).toEqual({ a: "1" });
    await informer.stop();
  });

  test("a watch gives bookmarks, ends when it was told to, and resumes from a version", async () => {
    const { metadata } = await core.listNamespacedConfigMap({ namespace });
    await core.createNamespacedConfigMap({ namespace, body: configMap("resumed") });
    const seen: string[] = [];
    const query = { resourceVersion: metadata?.resourceVersion, allowWatchBookmarks: true, timeoutSeconds: 1 };
    await new Promise<void>((resolve, reject) => {
      const done = (error: unknown): void => (error === null ? resolve() : reject(error));
      new Watch(kc)
        .watch(`/api/v1/namespaces/${namespace}/configmaps`, query, (type) => seen.push(type), done)
        .catch(reject);
    });
    expect(seen[0]).toBe("ADDED");
  });

  test("a watch from a version that is gone says so", async () => {
    const failure = new Promise((resolve, reject) => {
      new Watch(kc)
        .watch(
          `/api/v1/configmaps`,
          { resourceVersion: "1" },
          (type, object: V1Status) => resolve([type, object.code]),
          resolve,
        )
        .catch(reject);
    });
    expect(await failure).toEqual(["ERROR", 410]);
  });
});

describe("the streams of pods", () => {
  test("exec gives output, errors and the exit code apart, and takes input", async () => {
    const out = collector();
    const name = await podName();
    const status = await new Promise<V1Status>((resolve, reject) => {
      new Exec(kc)
        .exec(namespace, name, "main", ["sh", "-c", "echo hi; exit 7"], out.stream, null, null, false, resolve)
        .catch(reject);
    });
    expect(out.text()).toMatch(/\nhi\n/);
    expect(status).toMatchObject({
      status: "Failure",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "7" }] },
    });
    const shell = collector();
    const input = new PassThrough();
    const left = new Promise<V1Status>((resolve, reject) => {
      new Exec(kc).exec(namespace, name, "main", ["sh"], shell.stream, null, input, true, resolve).catch(reject);
    });
    input.write("ahoy\r");
    input.write("exit\r");
    expect((await left).status).toBe("Success");
    expect(shell.text()).toMatch(/simulated: ahoy/);
  });

  test("logs, attach and port-forward", async () => {
    const name = await podName();
    const log = collector();
    await new Log(kc).log(namespace, name, "main", log.stream, { tailLines: 1, timestamps: true });
    await eventually(
      async () => log.text(),
      (text) => /^\S+Z simulated: container main /.test(text),
    );
    const attached = collector();
    const socket = await new Attach(kc).attach(namespace, name, "main", attached.stream, null, null, false);
    await eventually(
      async () => attached.text(),
      (text) => text.includes("simulated: container main"),
    );
    socket.close();
    const forwarded = collector();
    const forward = new PortForward(kc, true);
    const open = await forward.portForwardDeployment(
      namespace,
      "web",
      [8080],
      forwarded.stream,
      null,
      new PassThrough(),
    );
    await eventually(
      async () => forwarded.text(),
      (text) => /nothing listens on port 8080/.test(text),
    );
    if ("close" in open) open.close();
  });

  test("what nodes can give is added up", async () => {
    const nodes = await topNodes(core);
    expect(nodes.map(({ Node }) => Node.metadata?.name)).toEqual(["node-1", "node-2", "node-3"]);
    expect(Number(nodes[0]?.CPU.Capacity)).toBeGreaterThan(0);
  });
});
