// Rotation of container logs: what is kept, compressed and removed, and what readers see of it.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CriError, type ContainerStatus } from "../src/cri/contract.ts";
import { LogRotator } from "../src/node/log-rotator.ts";
import { planLogRotation } from "../src/node/plan-log-rotation.ts";
import { createPodLogFiles } from "../src/node/pod-log-files.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 15, 4, 5);

describe("plan", () => {
  const plan = (names: readonly string[], maxFiles = 5) =>
    planLogRotation("0.log", names, { maxBytes: 1, maxFiles }, NOW_MS);

  test("the log becomes a file of the time; the one before it is compressed now", () => {
    expect(plan(["0.log", "0.log.20260102-140000", "0.log.20260102-130000.gz"])).toEqual({
      remove: [],
      compress: ["0.log.20260102-140000"],
      rotated: "0.log.20260102-150405",
    });
  });

  test("the oldest go, so that with the new log there are as many as there may be", () => {
    const old = ["0.log.1.gz", "0.log.2.gz", "0.log.3.gz", "0.log.4"];
    expect(plan(["0.log", ...old])).toMatchObject({ remove: ["0.log.1.gz"], compress: ["0.log.4"] });
    expect(plan(["0.log", ...old], 2)).toMatchObject({ remove: old, compress: [] });
  });

  test("what an earlier kubelet left half-done goes, and other lives' logs are left alone", () => {
    const names = ["0.log", "0.log.1", "0.log.1.gz", "0.log.2", "0.log.2.tmp", "1.log", "10.log", "1.log.5"];
    expect(plan(names)).toMatchObject({ remove: ["0.log.1", "0.log.2.tmp"], compress: ["0.log.2"] });
  });
});

describe("rotator", () => {
  let folder = "";
  let file = "";
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "cox-logs-"));
    file = path.join(folder, "0.log");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function setup(state: ContainerStatus["state"] = "CONTAINER_RUNNING") {
    const env = new VirtualEnv({ seed: 1, startMs: NOW_MS });
    const reopened: string[] = [];
    let problem: Error | undefined;
    const container = { id: "c", state, logFile: file } as ContainerStatus;
    const cri = {
      listContainers: async () => [container],
      reopenContainerLog: async (id: string) => {
        if (problem !== undefined) throw problem;
        reopened.push(id);
        appendFileSync(file, "");
      },
    };
    const rotator = new LogRotator({ env, logger: silentLogger, cri, policy: { maxBytes: 10, maxFiles: 3 } });
    return { env, rotator, reopened, fail: (error: Error | undefined) => (problem = error) };
  }

  test("rotates what has grown, again and again, and keeps the newest", async () => {
    const { env, rotator, reopened } = setup();
    writeFileSync(file, "small");
    await rotator.rotate();
    expect(readdirSync(folder)).toEqual(["0.log"]);
    const began = env.clock.now();
    for (const text of ["the first of all", "the second one", "the third one"]) {
      appendFileSync(file, text);
      await rotator.rotate();
      await env.advance(1_000);
    }
    expect(reopened).toEqual(["c", "c", "c"]);
    const names = readdirSync(folder).toSorted();
    const at = (ms: number): string => new Date(began + ms).toISOString().slice(11, 19).replaceAll(":", "");
    expect(names).toEqual(["0.log", `0.log.20260102-${at(1_000)}.gz`, `0.log.20260102-${at(2_000)}`]);
    expect(gunzipSync(readFileSync(path.join(folder, names[1] ?? ""))).toString()).toBe("the second one");
    expect(readFileSync(path.join(folder, names[2] ?? ""), "utf8")).toBe("the third one");
  });

  test("a runtime that cannot reopen the log keeps the one it has; one that was left without gets one", async () => {
    const { rotator, reopened, fail } = setup();
    writeFileSync(file, "long enough to rotate");
    fail(new CriError("Unavailable", "away"));
    await rotator.rotate();
    expect(readdirSync(folder)).toEqual(["0.log"]);
    fail(undefined);
    rmSync(file);
    await rotator.rotate();
    expect(reopened).toEqual(["c"]);
    expect(existsSync(file)).toBe(true);
  });

  test("leaves alone what does not run", async () => {
    const { rotator } = setup("CONTAINER_EXITED");
    writeFileSync(file, "long enough to rotate");
    await rotator.rotate();
    expect(readdirSync(folder)).toEqual(["0.log"]);
  });
});

test("the logs of a life go with those that were rotated", async () => {
  const dir = mkdtempSync(path.join(tmpdir(), "cox-logs-"));
  const logs = createPodLogFiles(dir);
  const folder = path.join(dir, "default_p_u", "c");
  const pod = { metadata: { namespace: "default", name: "p", uid: "u" } };
  mkdirSync(folder, { recursive: true });
  for (const name of ["1.log", "1.log.5.gz", "10.log", "2.log"]) writeFileSync(path.join(folder, name), "");
  await logs.removeLife(pod, "c", 1);
  await logs.removeLife(pod, "other", 1);
  expect(readdirSync(folder).toSorted()).toEqual(["10.log", "2.log"]);
  rmSync(dir, { recursive: true });
});
