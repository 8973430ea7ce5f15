// The expressions that select devices: what they can speak of, what is wrong with one, and whether a device matches. Guarantee:
// an expression that was accepted compiles wherever it is run. https://kubernetes.io/docs/reference/using-api/cel/
import {
  CelFailure,
  celQuantity,
  CelScope,
  celSemver,
  type CelProgram,
  type CelType,
  type CostSizes,
} from "@coxswain/cel";
import { RecentTexts } from "@coxswain/apimachinery";
import type { Device, DeviceAttribute } from "../types.gen.ts";

export { CelFailure } from "@coxswain/cel";

const MOST_COST = 1_000_000;
/** Characters of expressions that are kept compiled. */
const REMEMBERED = 200_000;

/** Entries of each map, and characters of what stands in a device, at most. */
const MOST_ENTRIES = 32;
const MOST_VALUE = 64;
const MOST_DOMAIN = 63;
const MOST_ID = 32;
const MOST_DRIVER = 63;

const perDomain = (values: CelType): CelType => ({ is: "map", values: { is: "map", values } });
const DEVICE: CelType = {
  is: "object",
  name: "kubernetes.DRADevice",
  fields: {
    driver: { is: "string" },
    attributes: perDomain({ is: "dyn" }),
    capacity: perDomain({ is: "declared", name: "kubernetes.Quantity" }),
  },
};

let scope: CelScope | undefined;
const deviceScope = (): CelScope => (scope ??= new CelScope({ device: DEVICE }));

interface Sized {
  readonly kind: string | undefined;
  readonly most: number;
}

/** What stands at a path below `device`, as upstream sizes it. */
function sizedAt([, field, ...steps]: readonly string[]): Sized | undefined {
  if (field === undefined) return { kind: "object", most: 0 };
  if (field === "driver") return { kind: "string", most: MOST_DRIVER };
  if (field !== "attributes" && field !== "capacity") return undefined;
  const [domain, id, ...more] = steps;
  if (domain === undefined) return { kind: "map", most: MOST_ENTRIES };
  if (domain === "@keys") return { kind: "string", most: MOST_DOMAIN };
  if (domain !== "@values" && domain !== "@items") return undefined;
  if (id === undefined) return { kind: "map", most: MOST_ENTRIES };
  if (id === "@keys") return { kind: "string", most: MOST_ID };
  if (more.length > 0) return undefined;
  // Attributes are of any type, but of one size, however they are reached.
  return field === "attributes" ? { kind: undefined, most: MOST_VALUE } : { kind: "kubernetes.Quantity", most: 0 };
}

const SIZES: CostSizes = {
  size(path) {
    const found = path[0] === "device" ? sizedAt(path) : undefined;
    return found === undefined ? undefined : { min: 0, max: found.most };
  },
  kind: (path) => (path[0] === "device" ? sizedAt(path)?.kind : undefined),
};

type Domains<V> = Map<string, Map<string, V>>;

/** By domain and name. An unknown domain has no attributes: an empty map; `in` still says what is there. */
function byDomain<V>(driver: string, entries: Iterable<readonly [string, V]>): Domains<V> {
  const domains: Domains<V> = new Map();
  for (const [name, value] of entries) {
    const slash = name.indexOf("/");
    const domain = slash < 0 ? driver : name.slice(0, slash);
    const known = domains.get(domain) ?? new Map<string, V>();
    domains.set(domain, known.set(name.slice(slash + 1), value));
  }
  const get = domains.get.bind(domains);
  // Not a class of its own: the evaluator tells types by their constructors.
  domains.get = (domain) => get(domain) ?? new Map<string, V>();
  return domains;
}

function attributeValue(name: string, attribute: DeviceAttribute): unknown {
  if (attribute.int !== undefined) return BigInt(attribute.int);
  if (attribute.bool !== undefined) return attribute.bool;
  if (attribute.string !== undefined) return attribute.string;
  if (attribute.version !== undefined) return celSemver(attribute.version);
  throw new CelFailure(`attribute ${name}: unsupported attribute value`, false);
}

/** A device as expressions see it. Made once, on demand. @throws CelFailure in an expression, for a value that is none. */
export class SelectableDevice {
  readonly value: unknown;

  constructor(driver: string, { attributes = {}, capacity = {} }: Pick<Device, "attributes" | "capacity">) {
    this.value = deviceScope().lazy("device", {
      driver: () => driver,
      attributes: () =>
        byDomain(
          driver,
          Object.entries(attributes).map(([name, attribute]) => [name, attributeValue(name, attribute)] as const),
        ),
      capacity: () =>
        byDomain(
          driver,
          Object.entries(capacity).map(
            ([name, { value }]) => [name, celQuantity(String(value as string | number))] as const,
          ),
        ),
    });
  }
}

export type DeviceExpression = { readonly program: CelProgram } | { readonly issue: string };

const compiled = new RecentTexts<DeviceExpression>(REMEMBERED);

/** The expression, or why it is none. */
export function deviceExpression(text: string): DeviceExpression {
  let made = compiled.get(text);
  if (made === undefined) compiled.set(text, (made = compile(text)));
  return made;
}

function compile(text: string): DeviceExpression {
  const result = deviceScope().compile(text);
  if ("issue" in result) return { issue: `compilation failed: ${result.issue}` };
  const { typeText } = result.program;
  if (typeText === "bool" || typeText === "dyn") return result;
  return { issue: `must evaluate to bool or the unknown type, not ${typeText === "null" ? "null_type" : typeText}` };
}

/** Whether the most that the expression may cost is more than an evaluation may. */
export function isTooComplex(program: CelProgram): boolean {
  return program.estimate(SIZES).max > MOST_COST;
}

/** @throws CelFailure */
export function selects(program: CelProgram, device: SelectableDevice): boolean {
  const { value } = program.run({ device: device.value });
  if (typeof value === "boolean") return value;
  throw new CelFailure(`CEL result of type ${typeof value} could not be converted to bool`, false);
}
