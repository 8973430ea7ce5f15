// Unit suites sit beside their package and run in parallel; suites that start real processes run one file at a time.
import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    // As long as a slow machine may take; what is true at once takes no time.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [
            "libs/*/test/**/*.test.ts",
            "services/*/test/**/*.test.ts",
            "tools/test/**/*.test.ts",
            "bin/test/**/*.test.ts",
            "demo/test/**/*.test.ts",
            "test/sim/test/**/*.test.ts",
          ],
          exclude: [...configDefaults.exclude, "**/*.kernel.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          globalSetup: "test/leak-check.ts",
          include: ["test/integration/**/*.test.ts", "test/scenarios/**/*.test.ts", "test/chaos/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        // Other people's clients, all against one cluster.
        extends: true,
        test: {
          name: "clients",
          globalSetup: ["test/leak-check.ts", "test/conformance/clients/shared-cluster.ts"],
          include: ["test/conformance/clients/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        // The rows of test/conformance/behaviours.tsv that simulated nodes can show, all on one cluster.
        extends: true,
        test: {
          name: "conformance",
          globalSetup: ["test/leak-check.ts", "test/conformance/cluster.ts"],
          include: ["test/conformance/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { concurrent: true },
          maxConcurrency: 8,
          provide: { runtime: "simulated" },
        },
      },
      {
        // What needs root: namespaces, containerd, packet rules. Names end in .kernel.test.ts where they sit beside their package.
        extends: true,
        test: {
          name: "nodes",
          globalSetup: "test/leak-check.ts",
          include: [
            "libs/*/test/**/*.kernel.test.ts",
            "services/*/test/**/*.kernel.test.ts",
            "test/nodes/**/*.test.ts",
          ],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        // The rows of that table that need real containers, all on one cluster.
        extends: true,
        test: {
          name: "conformance-nodes",
          globalSetup: ["test/leak-check.ts", "test/conformance/cluster.ts"],
          include: ["test/conformance/nodes/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          sequence: { concurrent: true },
          maxConcurrency: 6,
          provide: { runtime: "containerd" },
        },
      },
      {
        extends: true,
        test: {
          name: "compose",
          include: ["test/compose/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
