// Makes the profiles that a configuration describes: the plugins, their arguments and weights, and their order at each extension
// point. Pure.
import {
  childPath,
  fieldErrorText,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  indexPath,
} from "@coxswain/apimachinery";
import type { ExtensionPoint, Plugin, Profile, WeightedPlugin } from "../framework/contract.ts";
import { DEFAULT_BINDER, extendsPoint, METHODS, POINTS } from "../framework/extension-points.ts";
import { DEFAULT_PLUGINS } from "../framework/registry.ts";
import { ConfigReader } from "./config-reader.ts";
import { ARGUMENTS } from "./plugin-args.ts";
import { multiPointNames, namesAt } from "./plugin-order.ts";
import {
  SchedulerConfigError,
  type ProfileConfiguration,
  type SchedulerConfiguration,
} from "./scheduler-configuration.ts";

/** Makes a plugin of its arguments, which are as the configuration has them; undefined where it has none. */
export type PluginFactory = (args: unknown) => Plugin;

/**
 * Where upstream's plugins take part, as far as ours have nothing to do there: a configuration may name them.
 * https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins
 */
const NAMED_AT: Readonly<Record<string, readonly ExtensionPoint[]>> = {
  TaintToleration: ["preScore"],
  NodeAffinity: ["preFilter", "preScore"],
  NodePorts: ["preFilter"],
  NodeResourcesFit: ["preFilter", "preScore"],
  VolumeRestrictions: ["preFilter"],
  NodeVolumeLimits: ["preFilter"],
  VolumeBinding: ["preFilter", "reserve", "preBind", "preScore", "score"],
  VolumeZone: ["preFilter"],
  PodTopologySpread: ["preFilter", "preScore"],
  InterPodAffinity: ["preFilter", "preScore"],
  DefaultPreemption: ["preEnqueue"],
  NodeResourcesBalancedAllocation: ["preScore"],
};

/** The plugin without what it does at `points`. Its methods go on seeing the whole of it. */
function without(plugin: Plugin, points: readonly ExtensionPoint[]): Plugin {
  if (points.length === 0) return plugin;
  const kept = POINTS.filter((point) => !points.includes(point)).flatMap((point) => METHODS[point]);
  const methods = [...kept, "follow", "filterKey", "scoreKey", "scoresNothing", "events"] as const;
  const bound = methods.flatMap((method) => {
    const own = plugin[method];
    return own === undefined ? [] : [[method, own.bind(plugin)] as const];
  });
  const { name, ignoresPods } = plugin;
  return { name, ...(ignoresPods === undefined ? {} : { ignoresPods }), ...Object.fromEntries(bound) };
}

class ProfileMaker {
  readonly #reader: ConfigReader;
  readonly #configuration: ProfileConfiguration;
  readonly #factories: ReadonlyMap<string, PluginFactory>;

  constructor(
    reader: ConfigReader,
    configuration: ProfileConfiguration,
    factories: ReadonlyMap<string, PluginFactory>,
  ) {
    this.#reader = reader;
    this.#configuration = configuration;
    this.#factories = factories;
  }

  make(): Profile {
    const { schedulerName, plugins, path, percentageOfNodesToScore } = this.#configuration;
    for (const name of this.#configuration.pluginConfig.keys()) {
      if (this.#isKnown(name)) continue;
      this.#reader.errors.push(fieldNotFound(childPath(path, "pluginConfig"), name));
    }
    const made = new Map(this.#names().map((name) => [name, this.#plugin(name)]));
    this.#checkNamed(made);
    const takesPart = (name: string, point: ExtensionPoint): boolean => {
      if (name === DEFAULT_BINDER) return point === "bind";
      const plugin = made.get(name);
      return plugin !== undefined && extendsPoint(plugin, point);
    };
    const order = new Map(
      POINTS.map((point) => [point, namesAt(plugins, point, takesPart).filter((name) => takesPart(name, point))]),
    );
    const weighted = [...made].flatMap(([name, plugin]): WeightedPlugin[] => {
      if (plugin === undefined) return [];
      const off = POINTS.filter((point) => extendsPoint(plugin, point) && !order.get(point)!.includes(name));
      const own = without(plugin, off);
      return [{ plugin: own, weight: own.score === undefined ? 0 : this.#weight(name) }];
    });
    const sorts = order.get("queueSort")!;
    if (sorts.length !== 1) {
      const detail = `needs one queue sort plugin, has ${sorts.length}`;
      this.#reader.errors.push(fieldInvalid(childPath(path, "plugins.queueSort"), schedulerName, detail));
    }
    if (order.get("bind")!.length === 0) {
      const detail = "at least one bind plugin is needed for profile";
      this.#reader.errors.push(fieldInvalid(childPath(path, "plugins.bind"), schedulerName, detail));
    }
    return {
      schedulerName,
      plugins: weighted.filter(({ plugin }) => POINTS.some((point) => extendsPoint(plugin, point))),
      order,
      ...(percentageOfNodesToScore === undefined ? {} : { percentageOfNodesToScore }),
    };
  }

  /** Plugins that are named or there by default: the default ones in their order, then the others as they are named. */
  #names(): string[] {
    const { plugins } = this.#configuration;
    const named = [...plugins.values()].flatMap(({ enabled }) => enabled.map(({ name }) => name));
    const on = new Set([...multiPointNames(plugins), ...named]);
    const defaults = DEFAULT_PLUGINS.map(({ plugin }) => plugin.name).filter((name) => on.has(name));
    return [...new Set([...defaults, ...on])].filter((name) => name !== DEFAULT_BINDER && this.#isKnown(name));
  }

  /** Nobody is named who is not there, nor at a point in which he has no part. */
  #checkNamed(made: ReadonlyMap<string, Plugin | undefined>): void {
    const { plugins, path } = this.#configuration;
    for (const [set, { enabled }] of plugins) {
      for (const [index, { name }] of enabled.entries()) {
        const at = indexPath(childPath(path, `plugins.${set}.enabled`), index);
        if (!this.#isKnown(name)) this.#reader.errors.push(fieldNotFound(at, name));
        const plugin = made.get(name);
        if (set === "multiPoint" || NAMED_AT[name]?.includes(set) === true) continue;
        const binds = name === DEFAULT_BINDER && set === "bind";
        if (binds || (plugin === undefined ? name !== DEFAULT_BINDER : extendsPoint(plugin, set))) continue;
        this.#reader.errors.push(fieldInvalid(at, name, `plugin does not extend ${set}`));
      }
    }
  }

  #weight(name: string): number {
    for (const point of ["score", "multiPoint"] as const) {
      const choice = this.#configuration.plugins.get(point)?.enabled.find((each) => each.name === name);
      if (choice !== undefined) return choice.weight ?? 1;
    }
    return DEFAULT_PLUGINS.find(({ plugin }) => plugin.name === name)?.weight ?? 1;
  }

  #isKnown(name: string): boolean {
    const builtIn = DEFAULT_PLUGINS.some(({ plugin }) => plugin.name === name);
    return builtIn || this.#factories.has(name) || name === DEFAULT_BINDER;
  }

  #plugin(name: string): Plugin | undefined {
    const config = this.#configuration.pluginConfig.get(name);
    const factory = this.#factories.get(name);
    if (factory !== undefined) return this.#foreign(name, factory, config?.args);
    const builtIn = DEFAULT_PLUGINS.find(({ plugin }) => plugin.name === name)?.plugin;
    if (builtIn === undefined) return undefined;
    if (config === undefined) return builtIn;
    const make = ARGUMENTS.get(name);
    if (make !== undefined)
      return this.#withArgs(builtIn, () => make(this.#reader, config.args, config.path), config.path);
    this.#reader.errors.push(fieldForbidden(config.path, `plugin ${name} takes no arguments`));
    return builtIn;
  }

  /** A plugin that refuses its arguments says so as `FIELD: DETAIL`. */
  #withArgs(builtIn: Plugin, make: () => Plugin, path: string): Plugin {
    const before = this.#reader.errors.length;
    try {
      return make();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const [field = "", ...detail] = error.message.split(": ");
      // After a value that could not be read the plugin complains about what took its place.
      if (this.#reader.errors.length === before) {
        this.#reader.errors.push({
          type: "FieldValueInvalid",
          field: childPath(path, field),
          detail: detail.join(": "),
        });
      }
      return builtIn;
    }
  }

  #foreign(name: string, factory: PluginFactory, args: unknown): Plugin | undefined {
    try {
      const plugin = factory(args);
      if (plugin.name === name) return plugin;
      throw new RangeError(`the factory of ${name} made a plugin named ${plugin.name}`);
    } catch (error) {
      const path = this.#configuration.pluginConfig.get(name)?.path ?? childPath(this.#configuration.path, "plugins");
      const detail = error instanceof Error ? error.message : String(error);
      this.#reader.errors.push(fieldInvalid(path, name, detail));
      return undefined;
    }
  }
}

const sortOf = ({ order }: Profile): string | undefined => order?.get("queueSort")?.[0];

/**
 * The profiles of a configuration. `factories` are plugins that do not come with the scheduler, by name.
 * @throws SchedulerConfigError with all that is wrong
 */
export function makeProfiles(
  { profiles }: Pick<SchedulerConfiguration, "profiles">,
  factories: ReadonlyMap<string, PluginFactory> = new Map(),
): Profile[] {
  const reader = new ConfigReader();
  const made = profiles.map((profile) => new ProfileMaker(reader, profile, factories).make());
  const [sort] = made.map(sortOf);
  for (const [index, profile] of made.entries()) {
    if (sortOf(profile) === sort) continue;
    const at = childPath(profiles[index]!.path, "plugins.queueSort");
    reader.errors.push(fieldInvalid(at, sortOf(profile) ?? "", "must be the same for all profiles"));
  }
  if (reader.errors.length > 0) {
    throw new SchedulerConfigError(`scheduler configuration: ${reader.errors.map(fieldErrorText).join(", ")}`);
  }
  return made;
}
