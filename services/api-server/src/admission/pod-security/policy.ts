// What a namespace's labels ask of its pods: a level and a version of the Pod Security Standards to enforce, to warn of and to
// note for audits. Pure. https://kubernetes.io/docs/concepts/security/pod-security-admission/
import { fieldInvalid, type FieldError } from "@coxswain/apimachinery";

const LEVELS = ["privileged", "baseline", "restricted"] as const;
export type Level = (typeof LEVELS)[number];

export interface LevelVersion {
  readonly level: Level;
  /** The minor of a version 1.x; "latest" is above all. */
  readonly minor: number | "latest";
}

type Labels = Readonly<Record<string, string>>;

const MODES = ["enforce", "audit", "warn"] as const;
type Mode = (typeof MODES)[number];

export type PodSecurityPolicy = Readonly<Record<Mode, LevelVersion>>;

const DEFAULT: LevelVersion = { level: "privileged", minor: "latest" };
const rank = (level: Level): number => LEVELS.indexOf(level);

/** As in "restricted:latest" or "baseline:v1.30". */
export function formatLevel({ level, minor }: LevelVersion): string {
  return `${level}:${minor === "latest" ? minor : `v1.${minor}`}`;
}

/** True where `a` demands more than `b`, versions aside. */
export function isStricter(a: LevelVersion, b: LevelVersion): boolean {
  return rank(a.level) > rank(b.level);
}

export function sameLevel(a: LevelVersion, b: LevelVersion): boolean {
  return a.level === b.level && a.minor === b.minor;
}

function parseLevel(text: string): Level | undefined {
  return LEVELS.find((level) => level === text);
}

function parseMinor(text: string): LevelVersion["minor"] | undefined {
  if (text === "latest") return text;
  const minor = /^v1\.(0|[1-9]\d{0,8})$/.exec(text)?.[1];
  return minor === undefined ? undefined : Number(minor);
}

interface Parsed {
  readonly asked: LevelVersion;
  readonly level: Level | undefined;
  readonly versioned: boolean;
}

/** What cannot be understood is enforced as strictly as there is, and neither warned of nor noted. */
function parseMode(labels: Labels, mode: Mode, errors: FieldError[]): Parsed {
  const key = `pod-security.kubernetes.io/${mode}`;
  const at = (name: string): string => `metadata.labels[${name}]`;
  const levelText = labels[key];
  const versionText = labels[`${key}-version`];
  const level = levelText === undefined ? undefined : parseLevel(levelText);
  const minor = versionText === undefined ? undefined : parseMinor(versionText);
  if (levelText !== undefined && level === undefined) {
    errors.push(fieldInvalid(at(key), levelText, `must be one of ${LEVELS.join(", ")}`));
  }
  if (versionText !== undefined && minor === undefined) {
    errors.push(fieldInvalid(at(`${key}-version`), versionText, 'must be "latest" or "v1.x"'));
  }
  const unknown = levelText === undefined ? DEFAULT.level : mode === "enforce" ? "restricted" : "privileged";
  const asked = { level: level ?? unknown, minor: minor ?? DEFAULT.minor };
  return { asked, level, versioned: versionText !== undefined };
}

export interface Judged {
  readonly policy: PodSecurityPolicy;
  readonly errors: FieldError[];
}

const NO_LABELS: Labels = {};
/** By the labels of namespaces as the cache holds them, which nobody changes. */
const known = new WeakMap<Labels, Judged>();

/** The same for labels that are never changed: asked for again and again, they are read once. */
export function policyOfShared(labels: Labels = NO_LABELS): Judged {
  let judged = known.get(labels);
  if (judged === undefined) {
    judged = policyOf(labels);
    known.set(labels, judged);
  }
  return judged;
}

/** The policy that labels ask for, and what is wrong with them. Without labels everything is allowed. */
export function policyOf(labels: Labels = {}): Judged {
  const errors: FieldError[] = [];
  const enforce = parseMode(labels, "enforce", errors);
  // Who enforces a level without a word on the others wants to hear of workloads that will not come up.
  const following = (mode: Mode): LevelVersion => {
    const { asked, versioned } = parseMode(labels, mode, errors);
    const silent = labels[`pod-security.kubernetes.io/${mode}`] === undefined;
    if (!silent || enforce.level === undefined || !isStricter(enforce.asked, asked)) return asked;
    return { level: enforce.level, minor: versioned ? asked.minor : enforce.asked.minor };
  };
  const audit = following("audit");
  const warn = following("warn");
  return { policy: { enforce: enforce.asked, audit, warn }, errors };
}
