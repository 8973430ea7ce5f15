// Downloads from a registry on loopback: what is checked, what is tried again, what is shared, and how failures read.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseReference } from "../src/reference.ts";
import { downloadImage, type Download } from "../src/puller/download.ts";
import { PullError } from "../src/puller/pull-error.ts";
import { parseChallenge, type RegistryAuth } from "../src/puller/registry-client.ts";
import { startRegistry, type Pushed, type RegistryDouble } from "./support/registry-double.ts";

const LAYER = Buffer.from("layer ".repeat(2_000));
const env = createRealEnv();
let registry: RegistryDouble;
let folder: string;
let pushed: Pushed;

beforeEach(async () => {
  registry = await startRegistry();
  folder = mkdtempSync(path.join(tmpdir(), "cox-blobs-"));
  pushed = registry.push("shop/web", "v1", LAYER);
});
afterEach(async () => {
  await registry.close();
  rmSync(folder, { recursive: true, force: true });
});

const pull = (name = "shop/web:v1", auth?: RegistryAuth): Promise<Download> =>
  downloadImage({
    env,
    reference: parseReference(name.startsWith("coxswain.local") ? name : `${registry.host}/${name}`),
    architecture: "amd64",
    folder,
    registry: { firstRetryMs: 1, stallMs: 2_000 },
    ...(auth === undefined ? {} : { auth }),
  });

async function failure(pulling: Promise<Download>): Promise<PullError> {
  const error: unknown = await pulling.then(
    () => new Error("the pull succeeded"),
    (cause: unknown) => cause,
  );
  if (!(error instanceof PullError)) throw error;
  return error;
}

const layerFile = (): string => path.join(folder, pushed.layer.slice(7));

test("an image comes whole, for its platform, under its tag and its digest", async () => {
  const { archive, imageId } = await pull();
  expect(imageId).toBe(pushed.config);
  expect(readFileSync(layerFile())).toEqual(LAYER);
  const names = archive.index.manifests.map(({ annotations }) => annotations?.["io.containerd.image.name"]);
  const top = archive.index.manifests[0]?.digest;
  expect(names).toEqual([`${registry.host}/shop/web:v1`, `${registry.host}/shop/web@${top}`]);
  expect(archive.blobs.has(pushed.manifest)).toBe(true);
});

test("a plain manifest, and one by its digest, come as well", async () => {
  expect((await pull("shop/web:v1-plain")).imageId).toBe(pushed.config);
  expect((await pull(`shop/web@${pushed.manifest}`)).imageId).toBe(pushed.config);
});

test("blobs that are there are not fetched again, unless they are cut short", async () => {
  await pull();
  registry.asked.length = 0;
  await pull();
  expect(registry.asked.filter((url) => url.includes("/blobs/"))).toEqual([]);
  truncateSync(layerFile(), 10);
  await pull();
  expect(readFileSync(layerFile())).toEqual(LAYER);
});

test("a registry that is busy or breaks off is asked again", async () => {
  registry.fault("/manifests/v1", [503, 429]);
  registry.fault(pushed.layer, ["cut", 500]);
  expect((await pull()).imageId).toBe(pushed.config);
  expect(readFileSync(layerFile())).toEqual(LAYER);
});

test("a registry that stays broken is given up on, and nothing half is left", async () => {
  registry.fault(pushed.layer, ["cut", "cut", "cut", "cut", "cut"]);
  expect((await failure(pull())).code).toBe("Unavailable");
  expect(readdirSync(folder).filter((name) => name.includes("partial"))).toEqual([]);
  expect(readdirSync(folder)).not.toContain(pushed.layer.slice(7));
});

test("bytes that do not have their digest are refused", async () => {
  registry.blobs.set(pushed.layer, Buffer.from(LAYER.toString().replace("layer", "LAYER")));
  const error = await failure(pull());
  expect(error.message).toContain(`expected ${pushed.layer}: failed precondition`);
  expect(readdirSync(folder)).not.toContain(pushed.layer.slice(7));
});

test("more bytes than announced are refused", async () => {
  registry.blobs.set(pushed.layer, Buffer.concat([LAYER, LAYER]));
  expect((await failure(pull())).message).toContain("failed to copy: unexpected commit digest");
});

test("an image that is not there reads as containerd says it", async () => {
  const error = await failure(pull("shop/none:v9"));
  const name = `${registry.host}/shop/none:v9`;
  expect([error.code, error.message]).toEqual([
    "NotFound",
    `failed to pull and unpack image "${name}": failed to resolve reference "${name}": ${name}: not found`,
  ]);
});

test("no image for this platform", async () => {
  const reference = parseReference(`${registry.host}/shop/web:v1`);
  const asked = downloadImage({ env, reference, architecture: "riscv64", folder });
  expect((await failure(asked)).message).toContain("no match for platform in manifest");
});

test("a token is fetched with the user's name and password, and a wrong one is refused", async () => {
  registry.protect("jane", "s3cret");
  expect((await pull("shop/web:v1", { username: "jane", password: "s3cret" })).imageId).toBe(pushed.config);
  const error = await failure(pull("shop/web:v1", { username: "jane", password: "wrong" }));
  expect(error.code).toBe("PermissionDenied");
  expect(error.message).toContain("failed to authorize: failed to fetch oauth token");
  expect((await failure(pull())).code).toBe("PermissionDenied");
});

test("a token that never ends is not read to its end", async () => {
  registry.protect("jane", "s3cret", 2 << 20);
  const error = await failure(pull("shop/web:v1", { username: "jane", password: "s3cret" }));
  expect(error.message).toMatch(/failed to authorize: the answer of http:\/\/.*\/token.* is too large$/);
});

test("images that are built on the spot are asked of nobody", async () => {
  const error = await failure(pull("coxswain.local/nothing:1"));
  expect(error.message).toContain('failed to resolve reference "coxswain.local/nothing:1"');
  expect(registry.asked).toEqual([]);
});

test("challenges are read with and without quotes", () => {
  expect(parseChallenge('Bearer realm="http://a/t",service=b, scope="repository:x:pull,push"')).toEqual({
    scheme: "bearer",
    parameters: { realm: "http://a/t", service: "b", scope: "repository:x:pull,push" },
  });
});
