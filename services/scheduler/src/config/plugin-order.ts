// Which plugins a profile has at each extension point, and in which order, by upstream's rules of how multiPoint is expanded. Pure.
import type { ExtensionPoint } from "../framework/contract.ts";
import { DEFAULT_BINDER } from "../framework/extension-points.ts";
import { DEFAULT_PLUGINS } from "../framework/registry.ts";
import type { PluginSet, ProfileConfiguration } from "./scheduler-configuration.ts";

type Sets = ProfileConfiguration["plugins"];

const DEFAULTS: readonly string[] = [...DEFAULT_PLUGINS.map(({ plugin }) => plugin.name), DEFAULT_BINDER];

const isDisabled = (set: PluginSet | undefined, name: string): boolean =>
  set?.disabled.some((other) => other === "*" || other === name) === true;

/** What multiPoint stands for: the default plugins that are not disabled, then those that it adds or brings back. */
export function multiPointNames(sets: Sets): string[] {
  const set = sets.get("multiPoint");
  return [
    ...new Set([...DEFAULTS.filter((name) => !isDisabled(set, name)), ...(set?.enabled.map(({ name }) => name) ?? [])]),
  ];
}

/**
 * Names at one extension point, in their order: those of multiPoint that the point names again, as the point orders them; the
 * others of multiPoint, unless the point disables them; then whom only the point names. `takesPart`: whether a plugin of
 * multiPoint has anything to do there.
 */
export function namesAt(
  sets: Sets,
  point: ExtensionPoint,
  takesPart: (name: string, point: ExtensionPoint) => boolean,
): string[] {
  const set = sets.get(point);
  const multi = multiPointNames(sets).filter((name) => takesPart(name, point) && !isDisabled(set, name));
  const own = set?.enabled.map(({ name }) => name) ?? [];
  const again = own.filter((name) => multi.includes(name));
  return [...new Set([...again, ...multi, ...own])];
}
