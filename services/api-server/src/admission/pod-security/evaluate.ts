// Judges a pod by a level and a version of the Pod Security Standards. Pure.
import type { ObjectMeta, PodSpec } from "@coxswain/api";
import { BASELINE, procMount, REPLACED } from "./baseline.ts";
import type { Check, Violation } from "./check.ts";
import type { LevelVersion } from "./policy.ts";
import { RESTRICTED } from "./restricted.ts";

/** The restricted level has its own words for capabilities from 1.22 on, for seccomp from 1.19 on and for /proc from 1.35 on. */
function checksOf({ level, minor }: LevelVersion): readonly Check[] {
  if (level === "privileged") return [];
  if (level === "baseline") return BASELINE;
  const [appArmor, capabilities] = BASELINE;
  const before = (first: number): boolean => minor !== "latest" && minor < first;
  const baseline = BASELINE.filter((check) => !REPLACED.has(check) && (check !== procMount || before(35)));
  const old = before(22);
  return [...(old ? [appArmor!, capabilities!, ...baseline.slice(1)] : baseline), ...RESTRICTED];
}

export function violationsOf(level: LevelVersion, metadata: ObjectMeta, spec: PodSpec): Violation[] {
  const minor = level.minor === "latest" ? Infinity : level.minor;
  return checksOf(level).flatMap((check) => check({ metadata, spec, minor }) ?? []);
}

/** As in `privileged (container "a" must not set …), host namespaces (hostPID=true)`. */
export function formatViolations(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => `${reason} (${detail})`).join(", ");
}
