// The shape of a check of the Pod Security Standards, and how checks speak: of containers by name, in quotes, one or several.
import type { Container, EphemeralContainer, ObjectMeta, PodSpec } from "@coxswain/api";

export interface Subject {
  readonly metadata: ObjectMeta;
  readonly spec: PodSpec;
  /** The minor of the version of the standards; Infinity is the latest. */
  readonly minor: number;
}

export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

export type Check = (subject: Subject) => Violation | undefined;

export type AnyContainer = Container | EphemeralContainer;

export function containersOf(spec: PodSpec): AnyContainer[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

export const quoted = (words: Iterable<string>): string => [...words].map((word) => JSON.stringify(word)).join(", ");

export function plural(one: string, several: string, count: number): string {
  return count === 1 ? one : several;
}

/** As in `container "a"` or `containers "a", "b"`. */
export function named(names: readonly string[], one = "container"): string {
  return `${plural(one, `${one}s`, names.length)} ${quoted(names)}`;
}

export const namesWhere = (spec: PodSpec, bad: (container: AnyContainer) => boolean): string[] =>
  containersOf(spec)
    .filter(bad)
    .map(({ name }) => name);

export const sorted = (words: Iterable<string>): string[] => [...new Set(words)].toSorted();

/** What sets something that it must not: the pod, containers of it. */
export function setters(pod: boolean, containers: readonly string[]): string[] {
  return [...(pod ? ["pod"] : []), ...(containers.length > 0 ? [named(containers)] : [])];
}

export const isWindows = ({ spec, minor }: Subject): boolean => minor >= 25 && spec.os?.name === "windows";

/** Users of a pod with a user namespace of its own are nobody on the node. */
export const hasOwnUsers = ({ spec, minor }: Subject): boolean => minor >= 35 && spec.hostUsers === false;
