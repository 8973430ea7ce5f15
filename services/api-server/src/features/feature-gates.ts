// --feature-gates: which features are on. Guarantees: what is said is in force, or refused by name: unknown gates and locked ones
// in upstream's words, and those that stand for something that this api-server cannot turn on or off in words of our own.
// https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/
import { KNOWN_GATES } from "./known-gates.ts";

/** What there are two ways of here. */
const SWITCHES = ["MutatingAdmissionPolicy"] as const;
export type SwitchableGate = (typeof SWITCHES)[number];

export type FeatureGates = Readonly<Record<SwitchableGate, boolean>>;

export const DEFAULT_GATES: FeatureGates = { MutatingAdmissionPolicy: false };

const COMPONENT = "kube";
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true] as const),
  ...["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false] as const),
]);

/** As Go's strconv reads it; undefined where it does not. */
export const readBoolean = (text: string): boolean | undefined => BOOLEANS.get(text);

export const notBoolean = (text: string): string =>
  `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`;

function parse(pair: string): { component: string; name: string; on: boolean } {
  const colon = pair.indexOf(":");
  const component = colon < 0 ? "" : pair.slice(0, colon).trim();
  const rest = pair.slice(colon + 1);
  const at = rest.indexOf("=");
  const name = (at < 0 ? rest : rest.slice(0, at)).trim();
  if (at < 0) throw new Error(`missing bool value for ${name}`);
  const value = rest.slice(at + 1).trim();
  const on = readBoolean(value);
  if (on === undefined) throw new Error(`invalid value of ${name}=${value}, err: ${notBoolean(value)}`);
  return { component, name, on };
}

const isSwitch = (name: string): name is SwitchableGate => (SWITCHES as readonly string[]).includes(name);

/** `texts`: values of the flag, each with any number of name=true|false. @throws Error where one cannot be in force */
export function parseFeatureGates(texts: readonly string[]): FeatureGates {
  const said = texts
    .flatMap((text) => text.split(","))
    .filter((pair) => pair.trim() !== "")
    .map(parse);
  const components = new Set(said.map(({ component }) => component));
  if (components.has("") && components.has(COMPONENT)) {
    throw new Error("set kube feature gates with default empty prefix or kube: prefix consistently, do not mix use");
  }
  for (const component of components) {
    if (component !== "" && component !== COMPONENT) throw new Error(`component not registered: ${component}`);
  }
  const gates = { ...DEFAULT_GATES };
  const refused: string[] = [];
  for (const { name, on } of said) {
    const spec = KNOWN_GATES.get(name);
    if (spec === undefined) throw new Error(`unrecognized feature gate: ${name}`);
    if (isSwitch(name)) gates[name] = on;
    else if (spec.default === on && name !== "AllBeta") continue;
    else if (spec.locked) {
      refused.push(`cannot set feature gate ${name} to ${on}, feature is locked to ${spec.default}`);
    } else {
      refused.push(
        `cannot set feature gate ${name} to ${on}, of those that are not locked only ${SWITCHES.join(", ")} can be changed here`,
      );
    }
  }
  if (refused.length > 1) throw new Error(`[${refused.join(", ")}]`);
  if (refused.length > 0) throw new Error(refused[0]);
  return gates;
}
