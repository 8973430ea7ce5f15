// Manifests that cdk8s makes: applied by kubectl as they are, again without a change, changed, and pruned.
import { createRequire } from "node:module";
import path from "node:path";
import type { Deployment } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kubectl } from "../../integration/cluster-fixture.ts";
import { clientPackages, realKubectl } from "./real-clients.ts";

const NS = "cdk8s";

/** The part of the library that this suite uses. */
interface Cdk8s {
  readonly App: new () => { synthYaml(): string };
  readonly Chart: new (scope: object, id: string, props: object) => object;
  readonly ApiObject: new (scope: object, id: string, props: object) => ApiObject;
}
interface ApiObject {
  readonly name: string;
  addDependency(...on: object[]): void;
}

let cdk8s: Cdk8s;
let k: Kubectl;
beforeAll(async () => {
  cdk8s = createRequire(path.join(await clientPackages(), "package.json"))("cdk8s") as Cdk8s;
  k = await realKubectl();
});
afterAll(async () => {
  await k?.kubectl(["delete", "namespace", NS, "--wait=false", "--ignore-not-found"]);
});

/** A chart of a namespace, and in it a Deployment with its ConfigMap and Service; `extra` adds one more ConfigMap. */
function manifests({ replicas, extra }: { replicas: number; extra: boolean }): string {
  const app = new cdk8s.App();
  const outer = new cdk8s.Chart(app, "outer", { disableResourceNameHashes: true });
  const namespace = new cdk8s.ApiObject(outer, "ns", { apiVersion: "v1", kind: "Namespace", metadata: { name: NS } });
  const chart = new cdk8s.Chart(app, "yard", { namespace: NS, labels: { "app.kubernetes.io/part-of": "yard" } });
  const object = (id: string, apiVersion: string, kind: string, rest: object): ApiObject =>
    new cdk8s.ApiObject(chart, id, { apiVersion, kind, ...rest });
  const settings = object("settings", "v1", "ConfigMap", { data: { colour: "blue" } });
  settings.addDependency(namespace);
  if (extra) object("extra", "v1", "ConfigMap", { data: { more: "yes" } }).addDependency(namespace);
  const labels = { app: "crane" };
  const containers = [
    { name: "crane", image: "example.test/crane:v1", envFrom: [{ configMapRef: { name: settings.name } }] },
  ];
  object("crane", "apps/v1", "Deployment", {
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
  }).addDependency(settings);
  object("service", "v1", "Service", { spec: { selector: labels, ports: [{ port: 80 }] } }).addDependency(namespace);
  return app.synthYaml();
}

describe("a cdk8s app", () => {
  test("is applied in its own order, with the names that it made", async () => {
    const text = await k.apply(manifests({ replicas: 1, extra: true }));
    expect(text).toMatch(/^namespace\/cdk8s created\n[\s\S]*deployment\.apps\/yard-crane-\w+ created\n/);
    await k.ok(["-n", NS, "wait", "--for=condition=Available", "deployment", "--all", "--timeout=60s"]);
  });

  test("is unchanged when it is applied again, and differs where it differs", async () => {
    const lines = (await k.apply(manifests({ replicas: 1, extra: true }))).trim().split("\n");
    expect(lines.filter((line) => !line.endsWith(" unchanged"))).toEqual([]);
    const diff = await k.kubectl(["diff", "-f", "-"], manifests({ replicas: 2, extra: true }));
    expect([diff.code, diff.stdout]).toEqual([1, expect.stringMatching(/^- {2}replicas: 1\n\+ {2}replicas: 2$/m)]);
  });

  test("loses by pruning what it no longer names", async () => {
    const pruning = ["--prune", "-l", "app.kubernetes.io/part-of=yard", "--prune-allowlist=core/v1/ConfigMap"];
    const text = await k.ok(["apply", "-f", "-", "-n", NS, ...pruning], manifests({ replicas: 2, extra: false }));
    expect(text).toMatch(/deployment\.apps\/yard-crane-\w+ configured\n[\s\S]*configmap\/yard-extra-\w+ pruned\n$/);
    const { items } = await k.get<{ items: Deployment[] }>(["-n", NS, "deployments"]);
    expect(items.map(({ spec }) => spec?.replicas)).toEqual([2]);
  });
});
