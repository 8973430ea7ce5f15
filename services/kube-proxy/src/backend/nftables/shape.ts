// Services that are treated alike share one chain: what a chain does, and its name, which says it all, so that the kernel's
// tables can be read back. Pure.

/** never; outsiders: packets from outside the pods' ranges; always. */
export type Masquerade = "never" | "outsiders" | "always";

export interface Shape {
  /** How many endpoints packets are spread over. */
  readonly endpoints: number;
  readonly masquerade: Masquerade;
  /** 0: none. */
  readonly affinitySeconds: number;
  /** Set where packets from pods and the node itself have endpoints of their own: how many. */
  readonly inside?: number;
}

const NAME = /^to-(\d+)-(never|outsiders|always)(?:-(\d+)s)?(?:-inside-(\d+))?$/;

/** The chain of a shape, as in "to-3-outsiders" or "to-1-never-10800s-inside-4". */
export function shapeName({ endpoints, masquerade, affinitySeconds, inside }: Shape): string {
  const affinity = affinitySeconds === 0 ? "" : `-${affinitySeconds}s`;
  return `to-${endpoints}-${masquerade}${affinity}${inside === undefined ? "" : `-inside-${inside}`}`;
}

/** The chain that packets from inside go to, from a shape that has one. */
export function insideName({ affinitySeconds, inside }: Shape): string {
  return `inside-${inside ?? 0}${affinitySeconds === 0 ? "" : `-${affinitySeconds}s`}`;
}

/** Undefined where no shape has that name. */
export function parseShape(name: string): Shape | undefined {
  const found = NAME.exec(name);
  if (found === null) return undefined;
  const [, endpoints, masquerade, affinity, inside] = found;
  return {
    endpoints: Number(endpoints),
    masquerade: masquerade as Masquerade,
    affinitySeconds: Number(affinity ?? 0),
    ...(inside === undefined ? {} : { inside: Number(inside) }),
  };
}
