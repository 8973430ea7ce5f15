// The conditions of a namespace that is being deleted, in upstream's words. Pure.
import type { Namespace, NamespaceCondition } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";

/** What is left of one resource. */
export interface Remainder {
  /** As in "deployments.apps". */
  readonly groupResource: string;
  readonly count: number;
  /** How many of them each finalizer holds. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export interface ContentReport {
  /** Versions of groups, as in "metrics.k8s.io/v1beta1", that could not be asked what they hold. */
  readonly undiscovered?: readonly string[];
  readonly remaining: readonly Remainder[];
  readonly errors: readonly Error[];
}

interface Verdict {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

const PARSED: Verdict = {
  type: "NamespaceDeletionGroupVersionParsingFailure",
  status: "False",
  reason: "ParsedGroupVersions",
  message: "All legacy kube types successfully parsed",
};

/** What stands in the way where groups of other api-servers do not answer; undefined where all do. */
export function discoveryFailure(undiscovered: readonly string[]): string | undefined {
  if (undiscovered.length === 0) return undefined;
  const each = undiscovered.toSorted((a, b) => (a < b ? -1 : 1));
  const texts = each.map((version) => `${version}: stale GroupVersion discovery: ${version}`);
  return `unable to retrieve the complete list of server APIs: ${texts.join(", ")}`;
}

function discovery(undiscovered: readonly string[]): Verdict {
  const type = "NamespaceDeletionDiscoveryFailure";
  const failure = discoveryFailure(undiscovered);
  if (failure === undefined) {
    const message = "All resources successfully discovered";
    return { type, status: "False", reason: "ResourcesDiscovered", message };
  }
  const message = `Discovery failed for some groups, ${undiscovered.length} failing: ${failure}`;
  return { type, status: "True", reason: "DiscoveryFailed", message };
}

function contentFailure(errors: readonly Error[]): Verdict {
  const type = "NamespaceDeletionContentFailure";
  if (errors.length === 0) {
    const message = "All content successfully deleted, may be waiting on finalization";
    return { type, status: "False", reason: "ContentDeleted", message };
  }
  const text = errors
    .map((error) => error.message)
    .toSorted()
    .join(", ");
  const message = `Failed to delete all resource types, ${errors.length} remaining: ${text}`;
  return { type, status: "True", reason: "ContentDeletionFailed", message };
}

function contentRemaining(remaining: readonly Remainder[]): Verdict {
  const type = "NamespaceContentRemaining";
  const texts = remaining
    .filter(({ count }) => count > 0)
    .map(({ groupResource, count }) => {
      // Upstream writes the core group's resources with a trailing dot.
      const name = groupResource.includes(".") ? groupResource : `${groupResource}.`;
      return `${name} has ${count} resource instances`;
    });
  if (texts.length === 0) {
    return { type, status: "False", reason: "ContentRemoved", message: "All content successfully removed" };
  }
  const message = `Some resources are remaining: ${texts.toSorted().join(", ")}`;
  return { type, status: "True", reason: "SomeResourcesRemain", message };
}

function finalizersRemaining(remaining: readonly Remainder[]): Verdict {
  const type = "NamespaceFinalizersRemaining";
  const counts = new Map<string, number>();
  for (const { finalizers } of remaining) {
    for (const [finalizer, count] of finalizers) counts.set(finalizer, (counts.get(finalizer) ?? 0) + count);
  }
  if (counts.size === 0) {
    const message = "All content-preserving finalizers finished";
    return { type, status: "False", reason: "ContentHasNoFinalizers", message };
  }
  const texts = [...counts].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`);
  const message = `Some content in the namespace has finalizers remaining: ${texts.toSorted().join(", ")}`;
  return { type, status: "True", reason: "SomeFinalizersRemain", message };
}

/** The namespace with the conditions that the report gives. A condition that says the same as before stays as it is. */
export function planNamespaceStatus(namespace: Namespace, report: ContentReport, nowMs: number): Namespace {
  const before = namespace.status?.conditions ?? [];
  const verdicts = [
    discovery(report.undiscovered ?? []),
    PARSED,
    contentFailure(report.errors),
    contentRemaining(report.remaining),
    finalizersRemaining(report.remaining),
  ];
  const conditions = verdicts.map((verdict): NamespaceCondition => {
    const known = before.find((condition) => condition.type === verdict.type);
    if (known?.status === verdict.status && known.reason === verdict.reason && known.message === verdict.message) {
      return known;
    }
    const lastTransitionTime = known?.status === verdict.status ? known.lastTransitionTime : formatTime(nowMs);
    return { ...verdict, lastTransitionTime };
  });
  const ours = new Set(verdicts.map((verdict) => verdict.type));
  const others = before.filter((condition) => !ours.has(condition.type));
  return {
    ...namespace,
    status: { ...namespace.status, phase: "Terminating", conditions: [...others, ...conditions] },
  };
}
