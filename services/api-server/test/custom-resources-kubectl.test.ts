// The real, pinned kubectl with a custom resource: definition, discovery, explain, apply, columns, scale, delete.
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { KubectlResult, TestServer } from "./support/test-server.ts";

const DEFINITION = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: The schedule.}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: A job that runs again and again.
        properties:
          spec:
            type: object
            description: What runs, and when.
            properties:
              cronSpec: {type: string, description: When it runs.}
              image: {type: string, default: "cron:1"}
              replicas: {type: integer, minimum: 1}
          status:
            type: object
            properties: {replicas: {type: integer}}
`;

const OBJECT = `apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: nightly, namespace: default}
spec: {cronSpec: "0 3 * * *", replicas: 2}
`;

describe("kubectl with a custom resource", () => {
  let server: TestServer;
  const run = (...args: string[]): Promise<KubectlResult> => kubectl(server, args);
  const ok = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await run(...args);
    expect({ code, err }, args.join(" ")).toMatchObject({ code: 0 });
    return out;
  };
  const apply = (text: string, ...args: string[]): Promise<KubectlResult> =>
    kubectl(server, ["apply", ...args, "-f", "-"], text);

  beforeAll(async () => {
    await prepareKubectl();
    server = await startTestServer();
    expect((await apply(DEFINITION)).out).toBe(
      "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created\n",
    );
    await ok("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=10s");
  }, 120_000);
  afterAll(() => server.close());

  test("it is in discovery and explained", async () => {
    expect(await ok("api-resources", "--api-group=stable.example.com", "--no-headers")).toMatch(
      /^crontabs +ct +stable.example.com\/v1 +true +CronTab\n$/,
    );
    const text = await ok("explain", "crontab.spec");
    expect(text).toContain("What runs, and when.");
    expect(text).toMatch(/cronSpec\t<string>\n +When it runs\./);
    expect(await ok("explain", "ct.metadata")).toContain("ownerReferences\t<[]OwnerReference>");
    expect(await ok("explain", "crd.spec.versions.schema")).toContain("openAPIV3Schema\t<JSONSchemaProps>");
  });

  test("it is in the older OpenAPI document too, in what that can say", async () => {
    const { definitions, paths } = JSON.parse(await ok("get", "--raw", "/openapi/v2")) as {
      definitions: Record<string, { properties?: Record<string, object> }>;
      paths: Record<string, object>;
    };
    const found = definitions["com.example.stable.v1.CronTab"];
    expect(found).toMatchObject({
      type: "object",
      "x-kubernetes-group-version-kind": [{ group: "stable.example.com", version: "v1", kind: "CronTab" }],
      properties: {
        metadata: { $ref: "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" },
        spec: { properties: { cronSpec: { type: "string" }, replicas: { type: "integer", minimum: 1 } } },
      },
    });
    expect(JSON.stringify(found)).not.toContain("default");
    expect(paths["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}"]).toHaveProperty("patch");
  });

  test("objects are applied, shown, scaled and deleted", async () => {
    expect(await apply(OBJECT)).toMatchObject({ out: "crontab.stable.example.com/nightly created\n", err: "" });
    expect((await apply(OBJECT)).out).toBe("crontab.stable.example.com/nightly unchanged\n");
    const changed = { out: "crontab.stable.example.com/nightly configured\n", err: "" };
    expect(await apply(OBJECT.replace("replicas: 2", "replicas: 3"))).toMatchObject(changed);
    expect((await apply(OBJECT.replace("replicas: 2", "what: 3"))).err).toContain('unknown field "spec.what"');
    expect((await apply(OBJECT.replace("replicas: 2", "replicas: 0"))).err).toContain(
      "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
    );
    expect(await ok("get", "ct")).toMatch(/^NAME +SPEC +REPLICAS +AGE\nnightly +0 3 \* \* \* +3 +\S+\n$/);
    expect(await ok("get", "all")).toContain("crontab.stable.example.com/nightly");
    await ok("scale", "crontab/nightly", "--replicas=5");
    expect(await ok("get", "ct", "nightly", "-o", "jsonpath={.spec.replicas} {.spec.image}")).toBe("5 cron:1");
    await ok("patch", "ct", "nightly", "--type=merge", "--subresource=status", "-p", '{"status":{"replicas":5}}');
    expect(await ok("describe", "ct", "nightly")).toContain("Cron Spec:  0 3 * * *");
    await ok("label", "ct", "nightly", "owner=me");
    expect(await ok("get", "crontabs", "-l", "owner=me", "-o", "name")).toBe("crontab.stable.example.com/nightly\n");
  });

  test("server-side apply knows who owns what", async () => {
    const one = await apply(OBJECT.replace("nightly", "shared"), "--server-side", "--field-manager=one");
    expect(one.out).toContain("serverside-applied");
    const two = await apply(
      OBJECT.replace("nightly", "shared").replace("replicas: 2", "replicas: 4"),
      "--server-side",
      "--field-manager=two",
    );
    expect(two.err).toContain('conflict with "one": .spec.replicas');
  });

  test("it is in plain discovery and OpenAPI within a second, and out of them when it goes", async () => {
    const tls = server.tls("admin");
    const dispatcher = new Agent({ connect: { ca: tls.ca, cert: tls.cert, key: tls.key } });
    const read = async (path: string): Promise<string> => {
      const answer = await request(`${server.url}${path}`, { dispatcher });
      return await answer.body.text();
    };
    expect(await read("/apis")).toContain("stable.example.com");
    expect(JSON.parse(await read("/apis/stable.example.com/v1"))).toMatchObject({
      resources: [{ name: "crontabs" }, { name: "crontabs/status" }, { name: "crontabs/scale" }],
    });
    expect(await read("/openapi/v3")).toContain("apis/stable.example.com/v1");
    expect(await read("/openapi/v3/apis/stable.example.com/v1")).toContain("com.example.stable.v1.CronTab");
    expect(await ok("delete", "crd", "crontabs.stable.example.com")).toContain("deleted");
    expect(await read("/apis")).not.toContain("stable.example.com");
    expect(await read("/openapi/v3")).not.toContain("stable.example.com");
    expect((await run("get", "crontabs")).err).toContain("the server could not find the requested resource");
    await dispatcher.close();
  });
});
