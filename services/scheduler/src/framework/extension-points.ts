// The extension points, and what a profile has at each of them. Pure.
import type { ExtensionPoint, Plugin, Profile } from "./contract.ts";

/** Methods of a plugin that belong to each of upstream's extension points. */
export const METHODS = {
  preEnqueue: ["preEnqueue"],
  queueSort: ["less"],
  preFilter: ["preFilter"],
  filter: ["filter"],
  postFilter: ["postFilter"],
  preScore: ["preScore"],
  score: ["score", "normalizeScore"],
  reserve: ["reserve", "unreserve", "imagine"],
  permit: ["permit"],
  preBind: ["preBind", "preBindPreFlight"],
  bind: ["bind"],
  postBind: ["postBind"],
} satisfies Record<ExtensionPoint, (keyof Plugin)[]>;

export const POINTS = Object.keys(METHODS) as ExtensionPoint[];

/** Upstream's name of the binding that every profile has: the scheduler binds in batches where no plugin does. */
export const DEFAULT_BINDER = "DefaultBinder";

/** Whether the plugin takes part in an extension point. */
export const extendsPoint = (plugin: Plugin, point: ExtensionPoint): boolean =>
  METHODS[point].some((method) => plugin[method] !== undefined);

/** The profile's plugins at one extension point, in the order in which they run. Nobody is asked after the default binder. */
export function pluginsAt(profile: Profile, point: ExtensionPoint): Plugin[] {
  const all = profile.plugins.map(({ plugin }) => plugin).filter((plugin) => extendsPoint(plugin, point));
  const order = profile.order?.get(point);
  if (order === undefined) return all;
  const last = order.indexOf(DEFAULT_BINDER);
  const names = last < 0 ? order : order.slice(0, last);
  return names.flatMap((name) => all.find((plugin) => plugin.name === name) ?? []);
}
