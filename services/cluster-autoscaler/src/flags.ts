// The autoscaler's flags, named as upstream's.
import { durationFlag } from "@coxswain/component-base/duration-flag";
import { InvalidArgumentError, type Command } from "commander";
import { DEFAULT_OPTIONS, type AutoscalerOptions, type Expander } from "./options.ts";

export interface Flags {
  readonly cloudProvider: string;
  readonly cloudConfig: string;
  readonly scheduler: readonly string[];
  readonly [flag: string]: unknown;
}

function parseBoolean(text: string): boolean {
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw new InvalidArgumentError("must be true or false");
}

function parseShare(text: string): number {
  const value = Number(text);
  if (text === "" || !(value >= 0 && value <= 1)) throw new InvalidArgumentError("must be in 0..1");
  return value;
}

function parseCount(text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isInteger(value)) throw new InvalidArgumentError("must be a whole number");
  return value;
}

function parseSeconds(text: string): number {
  return parseCount(text) * 1_000;
}

function parseExpander(text: string): Expander {
  const found = (["least-waste", "most-pods", "random"] as const).find((one) => one === text);
  if (found === undefined) throw new InvalidArgumentError("supported: least-waste, most-pods, random");
  return found;
}

function parseProvider(text: string): string {
  if (text === "externalgrpc") return text;
  throw new InvalidArgumentError("supported: externalgrpc");
}

interface FlagOf {
  readonly flag: string;
  readonly about: string;
  readonly parse: (text: string) => unknown;
}

const FLAGS: { readonly [K in keyof AutoscalerOptions]: FlagOf } = {
  scanIntervalMs: { flag: "scan-interval", about: "how often the cluster is looked at", parse: durationFlag },
  expander: {
    flag: "expander",
    about: "chooses among groups that help: least-waste, most-pods, random",
    parse: parseExpander,
  },
  maxNodeProvisionMs: {
    flag: "max-node-provision-time",
    about: "a machine that is no node after this long is given up",
    parse: durationFlag,
  },
  maxTotalUnreadyPercentage: {
    flag: "max-total-unready-percentage",
    about: "nothing is done while more nodes are unready",
    parse: parseCount,
  },
  okTotalUnreadyCount: {
    flag: "ok-total-unready-count",
    about: "as many may be unready in any case",
    parse: parseCount,
  },
  newPodScaleUpDelayMs: { flag: "new-pod-scale-up-delay", about: "younger pods wait", parse: durationFlag },
  expendablePodsPriorityCutoff: {
    flag: "expendable-pods-priority-cutoff",
    about: "pods of a lower priority bring no node and hold none",
    parse: parseCount,
  },
  initialBackoffMs: {
    flag: "initial-node-group-backoff-duration",
    about: "a group that failed rests as long",
    parse: durationFlag,
  },
  maxBackoffMs: {
    flag: "max-node-group-backoff-duration",
    about: "and no longer than this, however often it fails",
    parse: durationFlag,
  },
  scaleDownEnabled: { flag: "scale-down-enabled", about: "whether nodes are removed", parse: parseBoolean },
  scaleDownUnneededMs: {
    flag: "scale-down-unneeded-time",
    about: "a node goes after it was unneeded for this long",
    parse: durationFlag,
  },
  scaleDownUnreadyMs: { flag: "scale-down-unready-time", about: "the same of an unready node", parse: durationFlag },
  scaleDownDelayAfterAddMs: {
    flag: "scale-down-delay-after-add",
    about: "no node goes for this long after one was added",
    parse: durationFlag,
  },
  scaleDownDelayAfterDeleteMs: {
    flag: "scale-down-delay-after-delete",
    about: "no node goes for this long after another has gone",
    parse: durationFlag,
  },
  scaleDownDelayAfterFailureMs: {
    flag: "scale-down-delay-after-failure",
    about: "no node goes for this long after one would not go",
    parse: durationFlag,
  },
  scaleDownUtilizationThreshold: {
    flag: "scale-down-utilization-threshold",
    about: "requests by allocatable, the larger of cpu and memory, below which a node may be unneeded",
    parse: parseShare,
  },
  unremovableNodeRecheckMs: {
    flag: "unremovable-node-recheck-timeout",
    about: "a node that would not go is left alone for this long",
    parse: durationFlag,
  },
  skipNodesWithSystemPods: {
    flag: "skip-nodes-with-system-pods",
    about: "pods of kube-system hold their node, unless a disruption budget covers them",
    parse: parseBoolean,
  },
  skipNodesWithLocalStorage: {
    flag: "skip-nodes-with-local-storage",
    about: "pods with emptyDir or hostPath volumes hold their node",
    parse: parseBoolean,
  },
  skipNodesWithCustomControllerPods: {
    flag: "skip-nodes-with-custom-controller-pods",
    about: "pods of controllers that are not known hold their node",
    parse: parseBoolean,
  },
  ignoreDaemonSetsUtilization: {
    flag: "ignore-daemonsets-utilization",
    about: "pods of DaemonSets do not count as use of a node",
    parse: parseBoolean,
  },
  maxGracefulTerminationMs: {
    flag: "max-graceful-termination-sec",
    about: "seconds that evicted pods are waited for",
    parse: parseSeconds,
  },
  maxPodEvictionMs: { flag: "max-pod-eviction-time", about: "evictions are tried for this long", parse: durationFlag },
  maxScaleDownParallelism: {
    flag: "max-scale-down-parallelism",
    about: "nodes that may go at once",
    parse: parseCount,
  },
  maxDrainParallelism: {
    flag: "max-drain-parallelism",
    about: "nodes with pods to evict that may go at once",
    parse: parseCount,
  },
  maxBulkSoftTaintCount: {
    flag: "max-bulk-soft-taint-count",
    about: "unneeded nodes that are marked or unmarked in one scan; 0 marks none",
    parse: parseCount,
  },
};

const camel = (flag: string): string => flag.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
const append = (text: string, before: readonly string[]): readonly string[] => [...before, text];

export function addFlags(command: Command): void {
  command
    .option("--cloud-provider <name>", "who has the machines: externalgrpc", parseProvider, "externalgrpc")
    .requiredOption("--cloud-config <file>", "address of the provider, as upstream's externalgrpc reads it")
    .option("--scheduler <host:port>", "gRPC address of a scheduler; repeatable", append, []);
  for (const { flag, about, parse } of Object.values(FLAGS)) command.option(`--${flag} <value>`, about, parse);
}

/** The options that the flags say, with defaults for the rest. */
export function optionsFrom(flags: Flags): AutoscalerOptions {
  const given = Object.entries(FLAGS).flatMap(([name, { flag }]) => {
    const value = flags[camel(flag)];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...DEFAULT_OPTIONS, ...(Object.fromEntries(given) as Partial<AutoscalerOptions>) };
}
