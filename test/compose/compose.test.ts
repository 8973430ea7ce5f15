// `docker compose up` on the true docker-compose.yml, in an engine of the suite's own, under each compose that can be
// had: the cluster comes up, works with kubectl, survives the loss of every single service, keeps its data, and goes
// without a trace.
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repositoryRoot } from "@coxswain/cluster";
import { composeMissing } from "../../tools/test-tally.ts";
import { deployment, eventually } from "../integration/cluster-fixture.ts";
import { ComposeProject, SERVICES, type ComposeVersion } from "./compose-project.ts";
import { startPrivateDocker, type PrivateDocker } from "./private-docker.ts";
import { provide, type Provisions } from "./provisions.ts";
import { buildStandins } from "./standin-images.ts";

/** Health and gRPC ports of every process, and the two servers that are not ours. */
const PORTS = [2379, 4222, 6443, 6444, 10250, 10256, 10257, 10259, 10260, 10266, 10267, 10269];
const HTTPS_PORTS = [6443, 10250, 10256, 10257, 10259];

const missing = composeMissing();
if (missing !== undefined) throw new Error(`the compose suite ${missing}`);

// Which versions there are decides which tests there are, so it is known before the first test.
const provisions: Provisions = await provide(path.join(repositoryRoot(), ".tools", "compose"));
const plugin = "plugin" in provisions.composeV2 ? provisions.composeV2.plugin : undefined;
const versions: readonly ComposeVersion[] = plugin === undefined ? ["1.29"] : ["1.29", "2"];
if ("missing" in provisions.composeV2) console.log(`compose v2 is left out: ${provisions.composeV2.missing}`);

let docker: PrivateDocker;
beforeAll(async () => {
  docker = await startPrivateDocker({ packages: provisions.packages, composePlugin: plugin });
  await buildStandins(docker, provisions.sources);
});
afterAll(async () => {
  await docker[Symbol.asyncDispose]();
});

test("the engine has no way out", async () => {
  const links = (await docker.ok(["ip", "-brief", "link"])).trim().split("\n");
  expect(links.filter((line) => !/^(lo|docker0|br-\w+|veth\S+)\s/.test(line))).toEqual([]);
  expect(await docker.ok(["ip", "route", "show", "default"])).toBe("");
});

describe.each(versions)("compose %s", (version) => {
  let project: ComposeProject;
  let image = 1;
  beforeAll(async () => {
    project = await ComposeProject.create(docker, version);
    await project.build();
    await project.up();
  });
  afterAll(async () => {
    await project.down({ volumes: true });
  });

  /** A new version in every pod of the deployment that the first test applied. */
  const roll = async (): Promise<void> => {
    image++;
    await project.kubectl(["set", "image", "deployment/web", `main=example.test/app:v${image}`]);
    await project.kubectl(["rollout", "status", "deployment/web", "--timeout=120s"]);
    const jsonpath = "jsonpath={.items[*].spec.containers[0].image}";
    const running = "--field-selector=status.phase=Running";
    // A rollout is complete while the last old pods are still on their way out.
    const images = (): Promise<string> => project.kubectl(["get", "pods", "-l", "app=web", running, "-o", jsonpath]);
    const wanted = `example.test/app:v${image}`;
    await eventually(images, (seen) => seen.split(" ").every((one) => one === wanted));
  };

  test("is the version that it says", async () => {
    expect(await project.reportedVersion()).toMatch(version === "2" ? /^2\./ : /^1\.29\./);
  });

  test("one command hands over the kubeconfig and the client certificate", async () => {
    expect(await project.fetchCredentials()).toEqual(["admin.crt", "admin.key", "ca.crt", "kubeconfig"]);
    const nodes = await project.kubectl(["wait", "--for=condition=Ready", "node", "--all", "--timeout=60s"]);
    expect(nodes.trim().split("\n")).toHaveLength(3);
  });

  test("publishes every port on 127.0.0.1 only, and each answers", async () => {
    const listening = await docker.ok(["ss", "-Htln"]);
    const published = [...listening.matchAll(/\s(\S+):(\d+)\s/g)].map(([, host, port]) => `${host}:${port}`);
    expect(published).toEqual(expect.arrayContaining(PORTS.map((port) => `127.0.0.1:${port}`)));
    expect(published.filter((address) => !address.startsWith("127."))).toEqual([]);
    for (const port of HTTPS_PORTS) expect(await project.get(`https://127.0.0.1:${port}/readyz`)).toBe(200);
  });

  test("runs our processes without root and without capabilities", async () => {
    for (const service of SERVICES.filter((name) => !["etcd", "nats"].includes(name))) {
      const { pid } = await project.state(service);
      const status = await docker.ok(["cat", `/proc/${pid}/status`]);
      expect(status, service).toMatch(/^Uid:\s+1000\s+1000\s/m);
      expect(status, service).toMatch(/^CapBnd:\s+0+$/m);
      expect(status, service).toMatch(/^NoNewPrivs:\s+1$/m);
    }
  });

  test("rolls out a Deployment", async () => {
    await project.kubectl(["apply", "-f", "-"], deployment({ name: "web", replicas: 6 }));
    await project.kubectl(["rollout", "status", "deployment/web", "--timeout=120s"]);
    await roll();
  });

  test.each(SERVICES)("%s crashes: the engine starts it again, and a rollout completes", async (service) => {
    const before = await project.state(service);
    await docker.ok(["sh", "-c", `kill -9 ${before.pid}`]);
    await eventually(
      () => project.state(service),
      (now) => now.restarts > before.restarts && now.startedAt !== before.startedAt,
    );
    await roll();
    await project.healthy();
  });

  test.each(SERVICES)("%s killed with compose and started with `up -d`: a rollout completes", async (service) => {
    await project.kill(service);
    expect((await project.state(service)).status).toBe("exited");
    await project.up();
    await roll();
  });

  test("`down` and `up` again: what the cluster knew is still there", async () => {
    const uid = ["get", "deployment", "web", "-o", "jsonpath={.metadata.uid}"];
    const before = await project.kubectl(uid);
    await project.down({ volumes: false });
    await project.up();
    expect(await project.kubectl(uid)).toBe(before);
    await roll();
  });

  test("`down --volumes` leaves nothing", async () => {
    await project.down({ volumes: true });
    const label = ["--quiet", "--filter", `label=com.docker.compose.project=${project.name}`];
    for (const kind of [
      ["ps", "--all"],
      ["volume", "ls"],
      ["network", "ls"],
    ])
      expect(await docker.ok(["docker", ...kind, ...label]), kind.join(" ")).toBe("");
  });
});
