// Runs all invariants over the stream of commits. A broken invariant shows at every later step too: the first time tells.
import type { Change, ClusterState } from "../cluster-state.ts";
import { disksAreAttachedOnce, podsEndOnTheirNodes, podsRunWithTheirDisks } from "./attachments.ts";
import { noOverCreation, noOverSurge, staysAvailable } from "./deployments.ts";
import { devicesAreGivenOnce } from "./devices.ts";
import { endpointsAreReadyPods } from "./endpoints.ts";
import { orphansAreKept } from "./garbage.ts";
import type { Invariant, Violation } from "./invariant.ts";
import { jobCountsAreExact, jobsNeverOverwork } from "./jobs.ts";
import { leadersAreFenced, uidsAreUnique, versionsGrow } from "./objects.ts";
import { mirrorsAddNothing } from "./mirrors.ts";
import {
  accountTokensAreKept,
  bootstrapTokensAreTrue,
  certificatesFollowDecisions,
  policyStatusKeepsUp,
} from "./papers.ts";
import { quotasHold } from "./quotas.ts";
import { serviceAddressesAreOfARange, serviceAddressesAreUnique } from "./service-addresses.ts";
import { nodesAreNotOvercommitted, podsAreBoundOnce } from "./scheduling.ts";
import { statefulIdentitiesLiveOnce } from "./stateful-sets.ts";
import { claimsAreBoundOnce } from "./volumes.ts";

export class Checker {
  readonly violations: Violation[] = [];
  readonly availability = staysAvailable();
  readonly jobs = jobCountsAreExact();
  readonly #invariants: readonly Invariant[] = [
    versionsGrow(),
    uidsAreUnique(),
    leadersAreFenced(),
    podsAreBoundOnce(),
    nodesAreNotOvercommitted(),
    noOverSurge(),
    noOverCreation(),
    this.availability,
    statefulIdentitiesLiveOnce(),
    this.jobs,
    jobsNeverOverwork(),
    orphansAreKept(),
    endpointsAreReadyPods(),
    claimsAreBoundOnce(),
    devicesAreGivenOnce(),
    mirrorsAddNothing(),
    quotasHold(),
    serviceAddressesAreOfARange(),
    serviceAddressesAreUnique(),
    certificatesFollowDecisions(),
    bootstrapTokensAreTrue(),
    accountTokensAreKept(),
    policyStatusKeepsUp(),
    disksAreAttachedOnce(),
    podsRunWithTheirDisks(),
    podsEndOnTheirNodes(),
  ];

  observe(change: Change, state: ClusterState): void {
    for (const invariant of this.#invariants) {
      for (const detail of invariant.check(change, state)) this.report(change.atMs, invariant.name, detail);
    }
  }

  report(atMs: number, invariant: string, detail: string): void {
    if (this.violations.some((known) => known.invariant === invariant && known.detail === detail)) return;
    this.violations.push({ atMs, invariant, detail });
  }
}
