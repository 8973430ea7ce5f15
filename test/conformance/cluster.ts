// The cluster that all files of a project share, started before the first test and ended after the last: five simulated nodes,
// two of which only take the pods that ask for them, or two real ones.
import type { ProvidedContext } from "vitest";
import { testCluster, type ClusterPlace } from "../integration/cluster-fixture.ts";
import { SPARE_NODES, SPARE_TAINT } from "./spare-nodes.ts";

declare module "vitest" {
  interface ProvidedContext {
    cluster: ClusterPlace;
    runtime: "simulated" | "containerd";
  }
}

/** The part of vitest's project that this needs. */
interface Project {
  provide(key: "cluster", place: ClusterPlace): void;
  readonly config: { readonly provide: Partial<ProvidedContext> };
}

/** What is off by default, and has behaviours of its own. */
const MUTATING_POLICIES = [
  "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
  "--feature-gates=MutatingAdmissionPolicy=true",
];

/** Vitest's global set-up; what it returns runs after the last test. */
export default async function startSharedCluster(project: Project): Promise<() => Promise<void>> {
  const runtime = project.config.provide.runtime ?? "simulated";
  const ground = runtime === "simulated" ? { nodes: 5 } : { nodes: 2, egress: "none" as const };
  const running = await testCluster({ name: "conformance", runtime, apiServerFlags: MUTATING_POLICIES, ...ground });
  if (runtime === "simulated") {
    const taint = `${SPARE_TAINT.key}=${SPARE_TAINT.value}:${SPARE_TAINT.effect}`;
    await running.ok(["taint", "nodes", ...SPARE_NODES, taint]);
  }
  project.provide("cluster", running.place);
  return async () => running[Symbol.asyncDispose]();
}
