// The real kubectl's server-side apply against a real cluster, with controllers that write the same objects meanwhile.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ManagedFieldsEntry } from "@coxswain/apimachinery";
import { eventually, testCluster, type KubectlResult, type TestCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 1 });
});
afterAll(async () => {
  await k[Symbol.asyncDispose]();
});

interface Web {
  metadata: { generation: number; annotations?: Record<string, string>; managedFields: ManagedFieldsEntry[] };
  spec: { replicas: number; template: { spec: { containers: { name: string; image: string; env?: unknown[] }[] } } };
  status: { readyReplicas?: number };
}

function web(spec: string, containers = "{name: c, image: 'example.test/app:1'}", name = "web"): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: default}
spec:
  ${spec}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [${containers}]
`;
}

const serverSide = (manifest: string, ...flags: string[]): Promise<KubectlResult> =>
  k.kubectl(["apply", "--server-side", "-f", "-", ...flags], manifest);
const get = (name = "web"): Promise<Web> => k.get<Web>(["deployment", name, "--show-managed-fields"]);
const managers = ({ metadata }: Web): string[] =>
  metadata.managedFields.map(({ manager, operation, subresource }) =>
    [manager, operation, subresource].filter(Boolean).join(" "),
  );

describe("kubectl apply --server-side", () => {
  test("creates, says so, and changes nothing when it comes again", async () => {
    const manifest = web("replicas: 2");
    expect(await serverSide(manifest)).toMatchObject({ code: 0, stdout: "deployment.apps/web serverside-applied\n" });
    const ready = await eventually(get, (each) => each.status.readyReplicas === 2);
    expect(managers(ready)).toEqual(["kubectl Apply", expect.stringMatching(/^\S+ Update status$/)]);
    expect(ready.metadata.annotations?.["kubectl.kubernetes.io/last-applied-configuration"]).toBeUndefined();
    expect(await serverSide(manifest)).toMatchObject({ code: 0 });
    expect((await get()).metadata.generation).toBe(ready.metadata.generation);
    expect(await k.kubectl(["diff", "--server-side", "-f", "-"], manifest)).toMatchObject({ code: 0, stdout: "" });
  });

  test("managedFields show when they are asked for", async () => {
    expect(await k.ok(["get", "deployment", "web", "-o", "yaml"])).not.toContain("managedFields");
    const shown = await k.ok(["get", "deployment", "web", "-o", "yaml", "--show-managed-fields"]);
    expect(shown).toMatch(/managedFields:\n {2}- apiVersion: apps\/v1\n {4}fieldsType: FieldsV1\n {4}fieldsV1:/);
    expect(shown).toContain('k:{"name":"c"}:');
  });

  test("who scales owns the replicas: a conflict, force, and leaving them to the scaler", async () => {
    await k.ok(["scale", "deployment/web", "--replicas=3"]);
    const conflict = await serverSide(web("replicas: 1"));
    expect(conflict.code).toBe(1);
    expect(conflict.stderr).toContain(
      'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas',
    );
    expect(conflict.stderr).toContain("--force-conflicts");
    expect(await serverSide(web("replicas: 1"), "--force-conflicts")).toMatchObject({ code: 0 });
    expect((await get()).spec.replicas).toBe(1);
    await k.ok(["scale", "deployment/web", "--replicas=2"]);
    expect(await serverSide(web("revisionHistoryLimit: 9"))).toMatchObject({ code: 0 });
    expect((await get()).spec.replicas).toBe(2);
  });

  test("another manager shares what is equal, and what both let go is removed", async () => {
    const env = "{name: c, image: 'example.test/app:1', env: [{name: A, value: '1'}, {name: B, value: '2'}]}";
    await serverSide(web("revisionHistoryLimit: 9", env));
    const other = web("revisionHistoryLimit: 9", "{name: c, env: [{name: B, value: '2'}]}");
    expect(await serverSide(other, "--field-manager=other")).toMatchObject({ code: 0 });
    await serverSide(web("revisionHistoryLimit: 9"));
    const envOf = async (): Promise<unknown> => (await get()).spec.template.spec.containers[0]?.env;
    expect(await envOf()).toEqual([{ name: "B", value: "2" }]);
    await serverSide(web("revisionHistoryLimit: 9", "{name: c}"), "--field-manager=other");
    expect(await envOf()).toBeUndefined();
  });

  test("a dry run tells what would be and leaves what is", async () => {
    const changed = web("minReadySeconds: 5");
    const dry = await k.kubectl(["apply", "--server-side", "--dry-run=server", "-o", "json", "-f", "-"], changed);
    expect(JSON.parse(dry.stdout)).toMatchObject({ spec: { minReadySeconds: 5 } });
    expect(await k.ok(["get", "deployment", "web", "-o", "jsonpath={.spec.minReadySeconds}"])).toBe("");
    const diff = await k.kubectl(["diff", "--server-side", "-f", "-"], changed);
    expect(diff.code).toBe(1);
    expect(diff.stdout).toMatch(/^\+ {2}minReadySeconds: 5$/m);
  });

  test("an unknown field is refused", async () => {
    const refused = await serverSide(web("nope: 1"), "--validate=false");
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain(
      "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.nope: field not declared in schema",
    );
  });
});

describe("client-side and server-side apply", () => {
  test("kubectl takes over what it applied on its own side, and goes back", async () => {
    const manifest = web("replicas: 1", undefined, "old");
    expect(await k.apply(manifest)).toBe("deployment.apps/old created\n");
    expect(managers(await get("old"))).toContain("kubectl-client-side-apply Update");
    const upgraded = await serverSide(manifest.replace("app:1", "app:2"));
    expect(upgraded).toMatchObject({ code: 0 });
    const after = await get("old");
    expect(after.spec.template.spec.containers[0]?.image).toBe("example.test/app:2");
    expect(managers(after)).not.toContain("kubectl-client-side-apply Update");
    expect(after.metadata.annotations?.["kubectl.kubernetes.io/last-applied-configuration"]).toContain("app:2");
    expect(await k.apply(manifest.replace("app:1", "app:3"))).toBe("deployment.apps/old configured\n");
    expect(await k.apply(manifest.replace("app:1", "app:3"))).toBe("deployment.apps/old unchanged\n");
  });

  test("a field that the upgraded manifest drops is removed", async () => {
    const labelled = (labels: string): string =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm, namespace: default, labels: {${labels}}}\ndata: {k: v}\n`;
    await k.apply(labelled("a: one, b: two"));
    await k.ok(["label", "configmap", "cm", "c=three"]);
    expect(await serverSide(labelled("a: one"))).toMatchObject({ code: 0 });
    expect(await k.ok(["get", "configmap", "cm", "-o", "jsonpath={.metadata.labels}"])).toBe('{"a":"one","c":"three"}');
  });
});
