// Fault injection for the in-memory double, and the record of calls it has taken.
import { StatusError, type ResourceRef } from "@coxswain/apimachinery";

export type MemoryVerb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

export interface MemoryCall {
  readonly verb: MemoryVerb;
  readonly ref: ResourceRef;
  readonly namespace: string;
  /** "" where the call names none (list, generateName). */
  readonly name: string;
  readonly subresource: string;
  readonly user: string;
  /** The object or patch that was sent, if any. */
  readonly body?: unknown;
}

export interface FaultRule {
  /** Any verb where unset. */
  readonly verb?: MemoryVerb;
  /** Plural resource name; any where unset. */
  readonly resource?: string;
  readonly subresource?: string;
  readonly name?: string;
  readonly when?: (call: MemoryCall) => boolean;
  /** Only the nth matching call fails (1 is the first); every one where unset. */
  readonly nth?: number;
  /** Fails at most this often. */
  readonly times?: number;
  /** The answer; a 500 InternalError where unset. */
  readonly error?: Error;
  /** The write takes effect and the caller still gets the error: a time-out whose write landed. */
  readonly lands?: boolean;
}

export interface InjectedFault {
  /** How often it has fired. */
  readonly fired: number;
  remove(): void;
}

/** The usual error of a write whose outcome is unknown. */
export function timeoutError(): StatusError {
  return new StatusError(
    "Timeout",
    504,
    "Timeout: request did not complete within requested timeout - context deadline exceeded",
  );
}

/** Makes the set of rules; `take` gives the first rule that fires for a call. */
export function createFaults(): {
  inject(rule: FaultRule): InjectedFault;
  take(call: MemoryCall): FaultRule | undefined;
} {
  const rules: { rule: FaultRule; seen: number; fired: number }[] = [];
  const matches = (rule: FaultRule, call: MemoryCall): boolean =>
    (rule.verb === undefined || rule.verb === call.verb) &&
    (rule.resource === undefined || rule.resource === call.ref.resource) &&
    (rule.subresource === undefined || rule.subresource === call.subresource) &&
    (rule.name === undefined || rule.name === call.name) &&
    (rule.when === undefined || rule.when(call));
  return {
    inject(rule) {
      const entry = { rule, seen: 0, fired: 0 };
      rules.push(entry);
      return {
        get fired() {
          return entry.fired;
        },
        remove: () => {
          const at = rules.indexOf(entry);
          if (at >= 0) rules.splice(at, 1);
        },
      };
    },
    take(call) {
      for (const entry of rules) {
        const { rule } = entry;
        if (!matches(rule, call)) continue;
        entry.seen++;
        if (rule.nth !== undefined && entry.seen !== rule.nth) continue;
        if (rule.times !== undefined && entry.fired >= rule.times) continue;
        entry.fired++;
        return rule;
      }
      return undefined;
    },
  };
}
