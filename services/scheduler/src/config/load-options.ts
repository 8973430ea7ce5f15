// What the scheduler's flags name: the file of --config, and modules with plugins that do not come with it.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { SchedulerOptions } from "../app.ts";
import { DEFAULT_PLUGINS } from "../framework/registry.ts";
import { makeProfiles, type PluginFactory } from "./make-profiles.ts";
import { parseSchedulerConfiguration, SchedulerConfigError } from "./scheduler-configuration.ts";

export interface SchedulerFlags {
  readonly config: string | undefined;
  /** JavaScript or TypeScript modules that export `plugins`. */
  readonly plugin: readonly string[];
  readonly percentageOfNodesToScore: number;
}

async function factoriesOf(file: string): Promise<[string, PluginFactory][]> {
  let loaded: { readonly plugins?: unknown };
  try {
    loaded = (await import(pathToFileURL(path.resolve(file)).href)) as { readonly plugins?: unknown };
  } catch (error) {
    throw new SchedulerConfigError(`--plugin ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const entries = Object.entries(loaded.plugins ?? {});
  if (entries.length === 0 || entries.some(([, factory]) => typeof factory !== "function")) {
    throw new SchedulerConfigError(`--plugin ${file}: must export "plugins", an object of functions by plugin name`);
  }
  return entries as [string, PluginFactory][];
}

async function loadFactories(files: readonly string[]): Promise<Map<string, PluginFactory>> {
  const all = new Map<string, PluginFactory>();
  for (const file of files) {
    for (const [name, factory] of await factoriesOf(file)) {
      const taken = all.has(name) || DEFAULT_PLUGINS.some(({ plugin }) => plugin.name === name);
      if (taken) throw new SchedulerConfigError(`--plugin ${file}: there is a plugin ${name} already`);
      all.set(name, factory);
    }
  }
  return all;
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new SchedulerConfigError(`--config ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @throws SchedulerConfigError where a file is missing or wrong, with all that is wrong with it */
export async function loadSchedulerOptions(flags: SchedulerFlags): Promise<SchedulerOptions> {
  const { config, plugin, percentageOfNodesToScore } = flags;
  if (config === undefined) {
    if (plugin.length === 0) return { percentageOfNodesToScore };
    throw new SchedulerConfigError("--plugin: needs --config, which enables the plugin in a profile");
  }
  const configuration = parseSchedulerConfiguration(await textOf(config));
  const { initialBackoffMs, maxBackoffMs } = configuration;
  return {
    extenders: configuration.extenders,
    profiles: makeProfiles(configuration, await loadFactories(plugin)),
    percentageOfNodesToScore: configuration.percentageOfNodesToScore ?? percentageOfNodesToScore,
    backoff: {
      ...(initialBackoffMs === undefined ? {} : { initialBackoffMs }),
      ...(maxBackoffMs === undefined ? {} : { maxBackoffMs }),
    },
  };
}
