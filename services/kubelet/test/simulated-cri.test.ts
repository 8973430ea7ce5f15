// The simulated runtime meets the contract, and does what its annotation and commands say.
import { createRealEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import { parseImageName } from "../src/cri/image-name.ts";
import { AddressPool, fallbackPodCidr } from "../src/cri/simulated/address-pool.ts";
import { planBehaviour } from "../src/cri/simulated/behaviour.ts";
import { createSimulatedCri } from "../src/cri/simulated/simulated-cri.ts";
import { SimulatedImages } from "../src/cri/simulated/simulated-images.ts";
import { criSuite } from "../src/testing/cri-suite.ts";

const none = { minMs: 0, maxMs: 0 };

criSuite("simulated runtime", async () => {
  const latencies = { startLatency: none, pullLatency: none, stopLatency: none };
  const cri = createSimulatedCri({ env: createRealEnv(), node: "node-1", ...latencies });
  return { cri, image: "busybox:1.36", pulls: true, reconnect: () => cri, close: async () => {} };
});

describe("behaviour", () => {
  const plan = (argv: readonly string[], annotation?: object, init = false) =>
    planBehaviour({
      argv,
      init,
      container: "c",
      annotation: annotation === undefined ? undefined : JSON.stringify({ c: annotation }),
    });
  test.each([
    [["nginx"], undefined, 0],
    [[], undefined, 0],
    [["sleep", "5"], 5_000, 0],
    [["/bin/sleep", "2m"], 120_000, 0],
    [["sleep", "infinity"], undefined, 0],
    [["true"], 0, 0],
    [["false"], 0, 1],
    [["sh", "-c", "sleep 1; exit 4"], 1_000, 4],
    [["sh", "-c", "false && sleep 100"], 0, 1],
    [["sh", "-c", "while true; do date; done"], undefined, 0],
  ])("%j ends after %s with %s", (argv, exitAfterMs, exitCode) => {
    const behaviour = plan(argv);
    expect(behaviour.exitAfterMs).toBe(exitAfterMs);
    if (exitAfterMs !== undefined) expect(behaviour.exitCode).toBe(exitCode);
  });
  test("the annotation has the last word, and an unknown key is refused", () => {
    expect(plan(["nginx"], { exitAfterMs: 10, exitCode: 2 })).toMatchObject({ exitAfterMs: 10, exitCode: 2 });
    expect(() => plan(["nginx"], { exitAfter: 10 })).toThrow(
      "metadata.annotations[coxswain.dev/simulate]: Invalid value: c.exitAfter: not known",
    );
  });
  test("an unknown command of an init container ends well", () => {
    expect(plan(["prepare"], undefined, true)).toMatchObject({ exitAfterMs: 0, exitCode: 0 });
  });
});

describe("addresses and images", () => {
  test("addresses are unique until given back, and run out", () => {
    const pool = new AddressPool(() => "10.0.0.0/29");
    const taken = [1, 2, 3, 4, 5].map(() => pool.take());
    expect(new Set(taken).size).toBe(5);
    expect(() => pool.take()).toThrow("no IP addresses available in range set: 10.0.0.0/29");
    pool.release("10.0.0.4");
    expect(pool.take()).toBe("10.0.0.4");
  });
  test("the ranges of 5,000 nodes are all different", () => {
    expect(new Set(Array.from({ length: 5_000 }, (_, at) => fallbackPodCidr(`node-${at + 1}`))).size).toBe(5_000);
  });
  test.each([
    ["nginx", "docker.io/library/nginx:latest", true],
    ["me/app:1", "docker.io/me/app:1", true],
    ["quay.io/a/b:2", "quay.io/a/b:2", true],
    ["localhost:5000/x", "localhost:5000/x:latest", true],
    ["invalid/app", "docker.io/invalid/app:latest", false],
    ["invalid.example.com/app:1", "invalid.example.com/app:1", false],
  ])("%s is %s", (image, full, pullable) => {
    expect(parseImageName(image)?.full).toBe(full);
    const pull = (): string => new SimulatedImages().pull(image);
    if (pullable) expect(pull()).toContain("@sha256:");
    else expect(pull).toThrow("simulated: this registry never answers");
  });
  test.each(["Nginx", "a b", "", "app:tag:tag", "-x"])("%j is no image", (image) => {
    expect(parseImageName(image)).toBeUndefined();
  });
});
