// One test per row of behaviours.tsv, named by its row. A row that is known to fail has a test that must fail.
import { inject, test } from "vitest";
import { BEHAVIOURS, titleOf } from "./behaviours.ts";
import { connectCluster, type SharedCluster } from "./shared-cluster.ts";

/** How long a row that is known to fail may take to do so. */
const FAILS_WITHIN_MS = 20_000;

export interface Way {
  /** 70,000 where unset: longer than `eventually` waits, so that it can say for what. */
  readonly timeoutMs?: number;
  /** For what other tests of the file cannot bear beside them. */
  readonly alone?: boolean;
}

/** What the tests of one area are made with: `behaviour` is the row's text. Throws for a row that is not there. */
export function conforms<T>(area: string, context: () => T) {
  return (
    behaviour: string,
    run: (context: T) => Promise<void>,
    { timeoutMs = 70_000, alone = false }: Way = {},
  ): void => {
    const row = BEHAVIOURS.find((one) => one.area === area && one.behaviour === behaviour);
    if (row === undefined) throw new Error(`behaviours.tsv has no row "${area}: ${behaviour}"`);
    const way = alone ? { concurrent: false } : {};
    if (row.fails === "") test(titleOf(row), { timeout: timeoutMs, ...way }, () => run(context()));
    else test.fails(titleOf(row), { timeout: Math.min(timeoutMs, FAILS_WITHIN_MS), ...way }, () => run(context()));
  };
}

let shared: SharedCluster | undefined;

/** The same on the cluster that all files of the project share. */
export function conformsShared(area: string): ReturnType<typeof conforms<SharedCluster>> {
  return conforms(area, sharedCluster);
}

/** The cluster that all files of the project share. */
export function sharedCluster(): SharedCluster {
  return (shared ??= connectCluster(inject("cluster")));
}
