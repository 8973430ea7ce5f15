// KubeSchedulerConfiguration, the file of --config: which profiles there are, which plugins each has, and their arguments. Pure.
// Every mistake is told with its path; what this scheduler cannot do is refused by name.
// https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
import {
  childPath,
  fieldDuplicate,
  fieldErrorText,
  fieldInvalid,
  fieldRequired,
  isJsonObject,
  indexPath,
} from "@coxswain/apimachinery";
import { parse as parseYaml } from "yaml";
import type { ExtenderConfiguration } from "../extenders/extender.ts";
import type { ExtensionPoint } from "../framework/contract.ts";
import { POINTS } from "../framework/extension-points.ts";
import { readExtenders } from "./extender-configuration.ts";
import { above, ConfigReader, within, type Fields } from "./config-reader.ts";

/** Where plugins are named: at an extension point, or at all that they take part in. */
export type PluginSetName = ExtensionPoint | "multiPoint";

export const PLUGIN_SETS: readonly PluginSetName[] = [...POINTS, "multiPoint"];

export interface PluginChoice {
  readonly name: string;
  /** Of its score; undefined: the plugin's own. */
  readonly weight: number | undefined;
}

export interface PluginSet {
  readonly enabled: readonly PluginChoice[];
  /** "*" stands for all that are enabled by default. */
  readonly disabled: readonly string[];
}

export interface PluginArgs {
  readonly path: string;
  readonly args: unknown;
}

export interface ProfileConfiguration {
  readonly path: string;
  readonly schedulerName: string;
  readonly percentageOfNodesToScore: number | undefined;
  readonly plugins: ReadonlyMap<PluginSetName, PluginSet>;
  /** By the plugin's name. */
  readonly pluginConfig: ReadonlyMap<string, PluginArgs>;
}

export interface SchedulerConfiguration {
  readonly profiles: readonly ProfileConfiguration[];
  readonly percentageOfNodesToScore: number | undefined;
  readonly initialBackoffMs: number | undefined;
  readonly maxBackoffMs: number | undefined;
  readonly extenders: readonly ExtenderConfiguration[];
}

export class SchedulerConfigError extends Error {
  override readonly name = "SchedulerConfigError";
}

const API_VERSION = "kubescheduler.config.k8s.io/v1";
const FIELDS = [
  "kind",
  "apiVersion",
  "parallelism",
  "leaderElection",
  "clientConnection",
  "enableProfiling",
  "enableContentionProfiling",
  "percentageOfNodesToScore",
  "podInitialBackoffSeconds",
  "podMaxBackoffSeconds",
  "profiles",
  "extenders",
  "delayCacheUntilActive",
];
const DEFAULT_NAME = "default-scheduler";
const LEASE = { resourceLock: "leases", resourceName: "kube-scheduler", resourceNamespace: "kube-system" };
const PERCENT = within(0, 100);

/** @throws SchedulerConfigError with all that is wrong with the text (YAML or JSON) */
export function parseSchedulerConfiguration(text: string): SchedulerConfiguration {
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    throw new SchedulerConfigError(`scheduler configuration: ${(error as Error).message}`);
  }
  if (!isJsonObject(parsed)) throw new SchedulerConfigError("scheduler configuration: not an object");
  const { kind, apiVersion } = parsed;
  if (kind !== "KubeSchedulerConfiguration" || apiVersion !== API_VERSION) {
    const got = `${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`;
    throw new SchedulerConfigError(
      `scheduler configuration: no kind ${got}; use KubeSchedulerConfiguration of ${API_VERSION}`,
    );
  }
  const reader = new ConfigReader();
  const configuration = readConfiguration(reader, reader.object(parsed, "", FIELDS));
  if (reader.errors.length > 0) {
    throw new SchedulerConfigError(`scheduler configuration: ${reader.errors.map(fieldErrorText).join(", ")}`);
  }
  return configuration;
}

function readConfiguration(reader: ConfigReader, fields: Fields): SchedulerConfiguration {
  // One thread decides over columns: a number of workers changes nothing.
  reader.integer(fields["parallelism"], "parallelism", above(0, "should be an integer value greater than zero"));
  refuseOthers(reader, fields);
  const initial = reader.integer(
    fields["podInitialBackoffSeconds"],
    "podInitialBackoffSeconds",
    above(0, "must be greater than 0"),
  );
  const max = reader.integer(fields["podMaxBackoffSeconds"], "podMaxBackoffSeconds", (value) =>
    value < (initial ?? 1) ? "must be greater than or equal to PodInitialBackoffSeconds" : undefined,
  );
  const percentage = "percentageOfNodesToScore";
  const profiles = reader.list(fields["profiles"], "profiles", (item, path) => readProfile(reader, item, path));
  checkNames(reader, profiles);
  const extenders = readExtenders(reader, fields["extenders"], "extenders");
  const ignored = extenders.flatMap(({ ignoredResources }) => ignoredResources);
  return {
    profiles: (profiles.length > 0 ? profiles : [emptyProfile]).map((profile) => ignoring(profile, ignored)),
    extenders: extenders.map(({ extender }) => extender),
    percentageOfNodesToScore: reader.integer(fields[percentage], percentage, PERCENT),
    initialBackoffMs: initial === undefined ? undefined : initial * 1000,
    maxBackoffMs: max === undefined ? undefined : max * 1000,
  };
}

const emptyProfile: ProfileConfiguration = {
  path: "profiles[0]",
  schedulerName: DEFAULT_NAME,
  percentageOfNodesToScore: undefined,
  plugins: new Map(),
  pluginConfig: new Map(),
};

/** What an extender manages, and the scheduler must not look at, is not for NodeResourcesFit. */
function ignoring(profile: ProfileConfiguration, resources: readonly string[]): ProfileConfiguration {
  if (resources.length === 0) return profile;
  const name = "NodeResourcesFit";
  const config = profile.pluginConfig.get(name);
  const args = isJsonObject(config?.args) ? config.args : {};
  const own = Array.isArray(args["ignoredResources"]) ? (args["ignoredResources"] as unknown[]) : [];
  const path = config?.path ?? childPath(profile.path, "pluginConfig");
  const added = { path, args: { ...args, ignoredResources: [...own, ...resources] } };
  return { ...profile, pluginConfig: new Map([...profile.pluginConfig, [name, added]]) };
}

/** What belongs to upstream's process and not to its decisions. */
function refuseOthers(reader: ConfigReader, fields: Fields): void {
  const known = ["leaderElect", "leaseDuration", "renewDeadline", "retryPeriod", ...Object.keys(LEASE)];
  const election = reader.object(fields["leaderElection"], "leaderElection", known);
  for (const [name, value] of Object.entries({ leaderElect: true, ...LEASE })) {
    const path = childPath("leaderElection", name);
    reader.refuse(election[name] !== undefined && election[name] !== value, path, `must be ${String(value)}`);
  }
  for (const name of ["leaseDuration", "renewDeadline", "retryPeriod"]) {
    reader.refuse(election[name] !== undefined, childPath("leaderElection", name), "is fixed: 15s, 10s and 2s");
  }
  const connection = fields["clientConnection"];
  reader.refuse(connection !== undefined, "clientConnection", "the connection is made by --api-server and --pki");
  for (const name of ["enableProfiling", "enableContentionProfiling"]) {
    reader.refuse(reader.flag(fields[name], name) === true, name, "there is no profiling endpoint");
  }
  const delays = reader.flag(fields["delayCacheUntilActive"], "delayCacheUntilActive") === true;
  reader.refuse(delays, "delayCacheUntilActive", "a follower keeps its caches, so that a takeover starts at once");
}

/** Two profiles with one name, or with different queues: one queue serves all of them. */
function checkNames(reader: ConfigReader, profiles: readonly ProfileConfiguration[]): void {
  const seen = new Set<string>();
  for (const { path, schedulerName } of profiles) {
    if (seen.has(schedulerName)) reader.errors.push(fieldDuplicate(childPath(path, "schedulerName"), schedulerName));
    seen.add(schedulerName);
  }
}

function readProfile(reader: ConfigReader, item: unknown, path: string): ProfileConfiguration {
  const known = ["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"];
  const fields = reader.object(item, path, known);
  const name = childPath(path, "schedulerName");
  const schedulerName = reader.text(fields["schedulerName"], name) ?? DEFAULT_NAME;
  if (schedulerName === "") reader.errors.push(fieldRequired(name));
  const percentage = childPath(path, "percentageOfNodesToScore");
  return {
    path,
    schedulerName,
    percentageOfNodesToScore: reader.integer(fields["percentageOfNodesToScore"], percentage, PERCENT),
    plugins: readPlugins(reader, fields["plugins"], childPath(path, "plugins")),
    pluginConfig: readPluginConfig(reader, fields["pluginConfig"], childPath(path, "pluginConfig")),
  };
}

function readPlugins(reader: ConfigReader, value: unknown, path: string): Map<PluginSetName, PluginSet> {
  const fields = reader.object(value, path, PLUGIN_SETS);
  const sets = new Map<PluginSetName, PluginSet>();
  for (const point of PLUGIN_SETS) {
    if (fields[point] === undefined) continue;
    const at = childPath(path, point);
    const set = reader.object(fields[point], at, ["enabled", "disabled"]);
    const choose = (item: unknown, where: string): PluginChoice => {
      const choice = reader.object(item, where, ["name", "weight"]);
      const name = reader.text(choice["name"], childPath(where, "name")) ?? "";
      if (name === "") reader.errors.push(fieldRequired(childPath(where, "name")));
      const weight = childPath(where, "weight");
      return { name, weight: reader.integer(choice["weight"], weight, above(-1, "must be at least 0")) || undefined };
    };
    const enabled = reader.list(set["enabled"], childPath(at, "enabled"), choose);
    const disabled = reader.list(set["disabled"], childPath(at, "disabled"), choose).map(({ name }) => name);
    for (const [index, { name }] of enabled.entries()) {
      if (enabled.findIndex((other) => other.name === name) === index) continue;
      reader.errors.push(fieldDuplicate(indexPath(childPath(at, "enabled"), index), name));
    }
    sets.set(point, { enabled, disabled });
  }
  return sets;
}

function readPluginConfig(reader: ConfigReader, value: unknown, path: string): Map<string, PluginArgs> {
  const all = new Map<string, PluginArgs>();
  reader.list(value, path, (item, at) => {
    const fields = reader.object(item, at, ["name", "args"]);
    const name = reader.text(fields["name"], childPath(at, "name")) ?? "";
    if (name === "") reader.errors.push(fieldRequired(childPath(at, "name")));
    if (all.has(name)) reader.errors.push(fieldInvalid(at, name, "repeated plugin config"));
    all.set(name, { path: childPath(at, "args"), args: fields["args"] });
  });
  return all;
}
