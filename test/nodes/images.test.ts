// Images on real nodes: built from a folder and loaded from an archive by the command line, and fetched by the machine's puller
// from a registry on loopback, which nodes themselves cannot reach.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { Pod } from "@coxswain/api";
import { repositoryRoot } from "@coxswain/cluster";
import { buildImage, openArchive, textFile } from "@coxswain/images";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRegistry, type RegistryDouble } from "../../libs/images/test/support/registry-double.ts";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const folder = mkdtempSync(path.join(tmpdir(), "cox-images-"));
let shared: TestCluster;
let registry: RegistryDouble;

beforeAll(async () => {
  registry = await startRegistry();
  shared = await testCluster({ runtime: "containerd", nodes: 2, egress: "images", name: "images" });
});
afterAll(async () => {
  await shared?.[Symbol.asyncDispose]();
  await registry?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function coxswain(...args: string[]): Promise<string> {
  const home = path.dirname(shared.cluster.paths.dataDir);
  const env = { ...process.env, COXSWAIN_HOME: home };
  const program = path.join(repositoryRoot(), "bin/coxswain");
  const { stdout } = await promisify(execFile)(program, args, { env });
  return stdout;
}

const pod = (name: string, image: string, spec: object = {}, container: object = {}): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { restartPolicy: "Never", containers: [{ name: "main", image, ...container }], ...spec },
  });

async function said(name: string): Promise<string> {
  await eventually(
    () => shared.get<Pod>(["pod", name]),
    ({ status }) => status?.phase === "Succeeded",
  );
  return await shared.ok(["logs", name]);
}

/** An archive of an image that says a word, whole. */
async function archiveThatSays(word: string, reference: string): Promise<string> {
  const out = path.join(folder, `${word}.tar`);
  const { stdout } = await promisify(execFile)("sh", ["-c", `ls ${repositoryRoot()}/.tools/images/busybox-*.tar`]);
  const base = stdout.trim().split("\n").at(-1)!;
  const layers = [[textFile("say.sh", `echo ${word} from $(hostname)\n`, 0o755)]];
  await buildImage({ reference, out, base, layers, config: { Entrypoint: ["sh", "/say.sh"] } });
  return out;
}

test("a folder with a Dockerfile becomes an image on every node", async () => {
  const context = path.join(folder, "greeter");
  mkdirSync(context);
  writeFileSync(path.join(context, "greet.sh"), 'echo "$GREETING from $(pwd)"\n');
  writeFileSync(
    path.join(context, "Dockerfile"),
    'FROM coxswain.local/busybox:1\nENV GREETING="good morning"\nWORKDIR /srv\nCOPY greet.sh .\nENTRYPOINT ["sh", "greet.sh"]\n',
  );
  const out = await coxswain("image", "build", context, "-t", "coxswain.local/greeter:1", "--name", "images");
  expect(out).toBe("coxswain.local/greeter:1 is on 2 nodes (2 got it now)\n");
  for (const node of ["node-1", "node-2"]) {
    const where = { nodeSelector: { "kubernetes.io/hostname": node } };
    await shared.apply(pod(`greeter-${node}`, "coxswain.local/greeter:1", where, { imagePullPolicy: "Never" }));
  }
  expect(await said("greeter-node-1")).toBe("good morning from /srv\n");
  expect(await said("greeter-node-2")).toBe("good morning from /srv\n");
});

test("what cannot be built is refused with its line", async () => {
  const context = path.join(folder, "refused");
  mkdirSync(context);
  writeFileSync(path.join(context, "Dockerfile"), "FROM coxswain.local/busybox:1\nRUN make\n");
  const failing = coxswain("image", "build", context, "-t", "x:1", "--name", "images");
  await expect(failing).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("coxswain: line 2: RUN is not supported") as unknown,
  });
});

test("an archive is loaded under a name of choice, and again it is there already", async () => {
  const archive = await archiveThatSays("loaded", "example.test/loaded:v1");
  const load = ["image", "load", archive, "-t", "renamed:v2", "--name", "images"];
  expect(await coxswain(...load)).toBe("docker.io/library/renamed:v2 is on 2 nodes (2 got it now)\n");
  expect(await coxswain(...load)).toBe("docker.io/library/renamed:v2 is on 2 nodes (0 got it now)\n");
  await shared.apply(pod("loaded", "renamed:v2"));
  expect(await said("loaded")).toBe("loaded from loaded\n");
  const listed = await coxswain("image", "list", "--name", "images");
  expect(listed).toMatch(/^docker\.io\/library\/renamed:v2\s+sha256:\w+\s.*node-1,node-2$/m);
});

test("a name moves on to another image, and pods run what it means now", async () => {
  for (const [at, word] of ["first", "second", "third"].entries()) {
    const archive = await archiveThatSays(word, "moving:v1");
    const out = await coxswain("image", "load", archive, "-t", "moving:v1", "--name", "images");
    expect(out).toBe("docker.io/library/moving:v1 is on 2 nodes (2 got it now)\n");
    await shared.apply(pod(`moved-${at}`, "moving:v1", {}, { imagePullPolicy: "Never" }));
    expect(await said(`moved-${at}`)).toBe(`${word} from moved-${at}\n`);
  }
});

test("a name that moves in a registry is fetched again where the pod always wants it so", async () => {
  const name = `${registry.host}/shop/latest`;
  for (const word of ["today", "tomorrow"]) {
    await registry.pushArchive("shop/latest", "latest", (await openArchive(await archiveThatSays(word, name)))!);
    await shared.apply(pod(word, name));
    expect(await said(word)).toBe(`${word} from ${word}\n`);
  }
});

test("the machine fetches what a pod asks for, from a registry that no node can reach", async () => {
  const name = `${registry.host}/shop/hello:v1`;
  const archive = await openArchive(await archiveThatSays("pulled", name));
  await registry.pushArchive("shop/hello", "v1", archive!);
  await shared.apply(pod("pulled", name));
  expect(await said("pulled")).toBe("pulled from pulled\n");
  await shared.apply(pod("absent", `${registry.host}/shop/none:v1`));
  const events = await eventually(
    () =>
      shared.ok(["get", "events", "--field-selector=involvedObject.name=absent", "-o", "custom-columns=M:.message"]),
    (text) => text.includes("Failed to pull image"),
  );
  expect(events).toContain(`${registry.host}/shop/none:v1: not found`);
});

test("the puller is killed and comes back", async () => {
  await coxswain("chaos", "kill", "image-puller", "--name", "images");
  const name = `${registry.host}/shop/again:v1`;
  await registry.pushArchive("shop/again", "v1", (await openArchive(await archiveThatSays("again", name)))!);
  await shared.apply(pod("again", name));
  expect(await said("again")).toBe("again from again\n");
});
