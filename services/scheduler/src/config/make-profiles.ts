// Makes the profiles that a configuration describes. Guarantees, as upstream: plugins of the default profile are there unless
// they are disabled; who is enabled by name keeps the default's place where it has one, and comes after them otherwise; an
// extension point's own list wins over multiPoint. Pure.
import { childPath, fieldErrorText, fieldForbidden, fieldInvalid, fieldNotFound } from "@coxswain/apimachinery";
import type { Plugin, Profile, WeightedPlugin } from "../framework/contract.ts";
import { DEFAULT_PLUGINS } from "../framework/registry.ts";
import { ConfigReader } from "./config-reader.ts";
import { ARGUMENTS } from "./plugin-args.ts";
import {
  SchedulerConfigError,
  type ExtensionPoint,
  type ProfileConfiguration,
  type SchedulerConfiguration,
} from "./scheduler-configuration.ts";

/** Makes a plugin of its arguments, which are as the configuration has them; undefined where it has none. */
export type PluginFactory = (args: unknown) => Plugin;

/** Methods of a plugin that belong to each of upstream's extension points. */
const METHODS = {
  preEnqueue: ["preEnqueue"],
  queueSort: ["less"],
  preFilter: ["preFilter"],
  filter: ["filter"],
  postFilter: ["postFilter"],
  preScore: ["preScore"],
  score: ["score", "normalizeScore"],
  reserve: ["reserve", "unreserve"],
  permit: ["permit"],
  preBind: ["preBind", "preBindPreFlight"],
  bind: ["bind"],
  postBind: ["postBind"],
} satisfies Record<Exclude<ExtensionPoint, "multiPoint">, (keyof Plugin)[]>;

type Point = keyof typeof METHODS;
const POINTS = Object.keys(METHODS) as Point[];

/** Upstream's name of the binding that every profile has: the scheduler binds in batches where no plugin does. */
const DEFAULT_BINDER = "DefaultBinder";

const has = (plugin: Plugin, point: Point): boolean => METHODS[point].some((method) => plugin[method] !== undefined);

/** The plugin without what it does at `points`. Its methods go on seeing the whole of it. */
function without(plugin: Plugin, points: readonly Point[]): Plugin {
  if (points.length === 0) return plugin;
  const kept = POINTS.filter((point) => !points.includes(point)).flatMap((point) => METHODS[point]);
  const methods = [...kept, "follow", "filterKey", "events"] as const;
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
    const weighted = this.#names().flatMap((name): WeightedPlugin[] => {
      const plugin = this.#plugin(name);
      if (plugin === undefined) return [];
      const off = POINTS.filter((point) => has(plugin, point) && !this.#isOn(name, point));
      const own = without(plugin, off);
      return [{ plugin: own, weight: own.score === undefined ? 0 : this.#weight(name) }];
    });
    const sorts = weighted.filter(({ plugin }) => plugin.less !== undefined);
    if (sorts.length !== 1) {
      const detail = `needs one queue sort plugin, has ${sorts.length}`;
      this.#reader.errors.push(fieldInvalid(childPath(path, "plugins.queueSort"), schedulerName, detail));
    }
    const binder = plugins.get("bind")?.disabled.some((name) => name === "*" || name === DEFAULT_BINDER) === true;
    if (binder && !weighted.some(({ plugin }) => plugin.bind !== undefined)) {
      const detail = "at least one bind plugin is needed for profile";
      this.#reader.errors.push(fieldInvalid(childPath(path, "plugins.bind"), schedulerName, detail));
    }
    return {
      schedulerName,
      plugins: weighted,
      ...(percentageOfNodesToScore === undefined ? {} : { percentageOfNodesToScore }),
    };
  }

  /** Plugins that are on at any point: the default ones in their order, then the others as they are named. */
  #names(): string[] {
    const named = [...this.#configuration.plugins.values()].flatMap(({ enabled }) => enabled.map(({ name }) => name));
    const defaults = DEFAULT_PLUGINS.map(({ plugin }) => plugin.name);
    const all = new Set([...defaults, ...named].filter((name) => name !== DEFAULT_BINDER));
    return [...all].filter((name) => POINTS.some((point) => this.#isOn(name, point)));
  }

  #isOn(name: string, point: Point): boolean {
    const own = this.#configuration.plugins.get(point);
    if (own?.enabled.some((choice) => choice.name === name) === true) return true;
    if (own?.disabled.some((other) => other === "*" || other === name) === true) return false;
    const multi = this.#configuration.plugins.get("multiPoint");
    if (multi?.enabled.some((choice) => choice.name === name) === true) return true;
    if (multi?.disabled.some((other) => other === "*" || other === name) === true) return false;
    return DEFAULT_PLUGINS.some(({ plugin }) => plugin.name === name);
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
    if (builtIn === undefined) {
      this.#reader.errors.push(fieldNotFound(childPath(this.#configuration.path, "plugins"), name));
      return undefined;
    }
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
  const sorts = new Set(
    made.map(({ plugins }) => plugins.find(({ plugin }) => plugin.less !== undefined)?.plugin.name),
  );
  if (sorts.size > 1) {
    reader.errors.push(fieldInvalid("profiles", [...sorts].join(", "), "all must have the same queue sort plugin"));
  }
  if (reader.errors.length > 0) {
    throw new SchedulerConfigError(`scheduler configuration: ${reader.errors.map(fieldErrorText).join(", ")}`);
  }
  return made;
}
