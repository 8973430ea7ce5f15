// A cluster's data and the nodes that are started over them.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startCluster } from "../src/cluster.ts";
import { clusterPaths } from "../src/cluster-spec.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), "cox-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

test("containerd nodes are not started over the data of simulated ones", async () => {
  const paths = clusterPaths("kept", home);
  mkdirSync(paths.etcd, { recursive: true });
  const spec = JSON.stringify({ name: "kept", runtime: "simulated" });
  writeFileSync(paths.spec, spec);
  await expect(startCluster({ name: "kept", home, runtime: "containerd" })).rejects.toThrow(
    'the data of cluster "kept" are of simulated nodes, which containerd nodes cannot take over: ' +
      "`coxswain down --name kept --purge` removes them, or choose another --name",
  );
  expect(readFileSync(paths.spec, "utf8")).toBe(spec);
});
