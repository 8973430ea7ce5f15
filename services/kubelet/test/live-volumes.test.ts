// Optional sources of volumes come, change and go while their pod runs; each step is there within two looks of the kubelet.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CONFIG_MAPS, SECRETS, type Volume } from "@coxswain/api";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fakeMounter, podWith, volumeSetting, type VolumeSetting } from "./volume-setup.ts";

let at: VolumeSetting;
beforeEach(async () => {
  at = await volumeSetting({ mounter: fakeMounter().mounter });
});
afterEach(() => at.end());

const base64 = (text: string): string => Buffer.from(text).toString("base64");

test.each<[string, Volume, boolean]>([
  ["configmap", { name: "v", configMap: { name: "later", optional: true } }, false],
  ["secret", { name: "v", secret: { secretName: "later", optional: true } }, true],
  ["projected", { name: "v", projected: { sources: [{ configMap: { name: "later", optional: true } }] } }, false],
  ["projected", { name: "v", projected: { sources: [{ secret: { name: "later", optional: true } }] } }, true],
])("%s: %j", async (plugin, volume, secret) => {
  const ref = secret ? SECRETS : CONFIG_MAPS;
  const target = { namespace: "default", name: "later" };
  const client = at.cluster.client();
  const data = (text: string) => ({ data: { key: secret ? base64(text) : text } });
  const pod = podWith([volume]);
  const dir = at.path("u-1", plugin, "v");
  const files = async (): Promise<string[]> => (await readdir(dir)).filter((name) => !name.startsWith(".."));
  const look = async (): Promise<void> => {
    const nextMs = await at.volumes.refresh(pod);
    // A minute and a little: what is read then is never older than ten seconds.
    expect(nextMs).toBeLessThanOrEqual(75_000);
    at.skip(nextMs ?? 0);
    await at.volumes.refresh(pod);
  };

  await at.volumes.setUp(pod);
  expect(await files()).toEqual([]);
  at.cluster.seed(ref, { metadata: target, ...data("made") });
  await look();
  expect(await readFile(join(dir, "key"), "utf8")).toBe("made");
  await client.patch(ref, target, "application/merge-patch+json", data("changed"));
  await look();
  expect(await readFile(join(dir, "key"), "utf8")).toBe("changed");
  await client.delete(ref, target);
  await look();
  expect(await files()).toEqual([]);
});
