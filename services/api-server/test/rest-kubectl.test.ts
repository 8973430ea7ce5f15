// The real, pinned kubectl against a whole api-server.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent, request } from "undici";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { KubectlResult, TestServer } from "./support/test-server.ts";

const MANIFEST = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {tier: front}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: red}
`;

describe("kubectl", () => {
  let server: TestServer;
  const run = (...args: string[]): Promise<KubectlResult> => kubectl(server, args);
  const ok = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await run(...args);
    expect({ code, err }, args.join(" ")).toMatchObject({ code: 0 });
    return out;
  };
  const apply = (text: string): Promise<KubectlResult> => kubectl(server, ["apply", "-f", "-"], text);

  beforeAll(async () => {
    await prepareKubectl();
    server = await startTestServer();
  }, 120_000);
  afterAll(() => server.close());

  test("version, api-resources, explain", async () => {
    expect(await ok("version")).toContain("Server Version: v1.35.2+coxswain.");
    const resources = await ok("api-resources", "--no-headers");
    expect(resources).toMatch(/^deployments +deploy +apps\/v1 +true +Deployment$/m);
    expect(await ok("explain", "deployment.spec.strategy")).toContain("rollingUpdate\t<RollingUpdateDeployment>");
    expect(await ok("explain", "pods", "--recursive")).toContain("terminationGracePeriodSeconds\t<integer>");
  });

  test("apply, diff, get, patch, scale, label, replace, delete", async () => {
    expect((await apply(MANIFEST)).out).toBe("deployment.apps/web created\nconfigmap/settings created\n");
    expect((await apply(MANIFEST)).out).toBe("deployment.apps/web unchanged\nconfigmap/settings unchanged\n");
    expect((await apply(MANIFEST.replace("red", "blue"))).out).toContain("configmap/settings configured");
    expect(await ok("get", "deploy")).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/1 +0 +0 +\S+\n$/);
    expect(await ok("get", "deploy", "-o", "wide")).toMatch(/nginx:1 +app=web\n$/);
    expect(await ok("scale", "deploy/web", "--replicas=3")).toBe("deployment.apps/web scaled\n");
    expect(await ok("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}")).toBe("3");
    await ok(
      "patch",
      "deploy",
      "web",
      "-p",
      '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:2"}]}}}}',
    );
    await ok("patch", "cm", "settings", "--type=merge", "-p", '{"data":{"n":"1"}}');
    await ok("patch", "cm", "settings", "--type=json", "-p", '[{"op":"remove","path":"/data/n"}]');
    await ok("label", "deploy", "web", "owner=me");
    expect(await ok("get", "deploy", "-l", "owner=me", "-o", "name")).toBe("deployment.apps/web\n");
    expect(await ok("get", "deploy", "web", "-o", "yaml")).toContain("image: nginx:2");
    expect(await ok("describe", "deploy", "web")).toContain("Replicas:               3 desired");
    expect(await ok("delete", "deploy/web", "cm/settings")).toContain('deployment.apps "web" deleted');
    expect(await run("get", "deploy", "web")).toMatchObject({
      code: 1,
      err: 'Error from server (NotFound): deployments.apps "web" not found\n',
    });
  });

  test("typed clients send protobuf and are understood", async () => {
    expect(await ok("create", "deployment", "proto", "--image=x", "--replicas=2")).toBe(
      "deployment.apps/proto created\n",
    );
    expect(
      await ok("get", "deploy", "proto", "-o", "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].name}"),
    ).toBe("2 x");
  });

  test("bad manifests change nothing and say where", async () => {
    const { code, err } = await apply(MANIFEST.replace("image:", "imag:"));
    expect(code).toBe(1);
    expect(err).toContain('unknown field "spec.template.spec.containers[0].imag"');
    expect((await run("get", "deploy", "web")).code).toBe(1);
  });

  test("get -w shows changes as rows", async () => {
    await ok("create", "configmap", "watched");
    let patched: Promise<string> | undefined;
    const { out } = await kubectl(server, ["get", "cm", "watched", "-w"], "", (said, stop) => {
      patched ??= ok("patch", "cm", "watched", "--type=merge", "-p", '{"data":{"a":"b"}}');
      if (/\nwatched +1 /.test(said)) stop();
    });
    expect(out).toMatch(/^NAME +DATA +AGE\nwatched +0 .*\nwatched +1 /);
    await patched;
  });

  test("who am I, what may I, tokens", async () => {
    expect(await ok("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")).toBe("kubernetes-admin");
    expect(await ok("auth", "can-i", "create", "pods")).toBe("yes\n");
    expect((await run("auth", "can-i", "create", "pods", "--as=alice")).out).toBe("no\n");
    await ok("create", "serviceaccount", "robot");
    await ok("create", "rolebinding", "robot", "--clusterrole=view", "--serviceaccount=default:robot");
    const token = (await ok("create", "token", "robot")).trim();
    const agent = new Agent({ connect: { ca: server.tls("admin").ca } });
    const as = async (path: string): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` };
      const { statusCode, body } = await request(`${server.url}${path}`, { dispatcher: agent, headers });
      await body.dump();
      return statusCode;
    };
    expect(await as("/api/v1/namespaces/default/configmaps")).toBe(200);
    expect(await as("/api/v1/namespaces/default/secrets")).toBe(403);
    await ok("delete", "serviceaccount", "robot");
    expect(await as("/api/v1/namespaces/default/configmaps")).toBe(401);
    await agent.close();
  });

  test("nobody grants what they do not hold", async () => {
    await ok("create", "clusterrole", "rolemaker", "--verb=get,create", "--resource=roles.rbac.authorization.k8s.io");
    await ok("create", "clusterrolebinding", "rolemaker", "--clusterrole=rolemaker", "--user=mallory");
    const { err } = await run("create", "role", "all", "--verb=*", "--resource=secrets", "--as=mallory");
    expect(err).toContain('user "mallory" (groups=["system:authenticated"]) is attempting to grant RBAC permissions');
  });
});
