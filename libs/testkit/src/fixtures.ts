// Random but valid objects for property tests.
import * as fc from "fast-check";
import type { Pod } from "@coxswain/api";
import { makePod } from "./builders.ts";

/** A DNS-1123 label. */
export const labelNames: fc.Arbitrary<string> = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/);

/** A few labels with short values. */
export const labelSets: fc.Arbitrary<Record<string, string>> = fc.dictionary(
  fc.constantFrom("app", "tier", "zone", "track"),
  fc.constantFrom("a", "b", "c", ""),
  { maxKeys: 4 },
);

/** Pods with names of a small set, so that they collide; bound, or not. */
export const pods: fc.Arbitrary<Pod> = fc
  .record({
    name: fc.constantFrom("p0", "p1", "p2", "p3"),
    node: fc.constantFrom(undefined, "n0", "n1", "n2"),
    labels: labelSets,
    cpu: fc.integer({ min: 0, max: 4000 }),
  })
  .map(({ cpu, ...input }) => makePod({ ...input, requests: { cpu: `${cpu}m` } }));
