// Brings the default roles and bindings into the cluster at start. Guarantees: what is missing is made, missing rules and
// subjects are added, nothing that somebody added is taken away (but for what earlier versions made themselves), an object whose annotation
// rbac.authorization.kubernetes.io/autoupdate is "false" stays as it is; several api-servers may do it at once.
import type { ClusterRole, ClusterRoleBinding, PolicyRule, RbacSubject, Role, RoleBinding } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { KubeObject } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { ApiRequest, Pipeline } from "../pipeline/contract.ts";
import {
  defaultClusterRoleBindings,
  defaultClusterRoles,
  defaultRoleBindings,
  defaultRoles,
  FORMER_SUBJECTS,
} from "./bootstrap-policy.ts";
import { API_SERVER_USER } from "./identity.ts";
import { uncoveredRules } from "./rbac-rules.ts";

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;
const AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate";

type PolicyObject = ClusterRole | ClusterRoleBinding | Role | RoleBinding;

const sameSubject = (a: RbacSubject, b: RbacSubject): boolean =>
  a.kind === b.kind && a.name === b.name && (a.namespace ?? "") === (b.namespace ?? "");

function planRules(current: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.filter((rule) => uncoveredRules(current, [rule]).length > 0);
}

/** What `current` has to become to hold all that `wanted` grants; undefined where it does already. */
export function planReconcile<T extends PolicyObject>(current: T, wanted: T): T | undefined {
  if (current.metadata?.annotations?.[AUTOUPDATE] === "false") return undefined;
  const next = structuredClone(current);
  let changed = false;
  if (wanted.kind === "ClusterRole" || wanted.kind === "Role") {
    const role = next as Role;
    const extra = planRules(role.rules ?? [], (wanted as Role).rules ?? []);
    if (extra.length > 0) {
      role.rules = [...(role.rules ?? []), ...extra];
      changed = true;
    }
  } else {
    const binding = next as RoleBinding;
    const former = FORMER_SUBJECTS[binding.metadata?.name ?? ""];
    const known = (binding.subjects ?? []).filter((subject) => former === undefined || !sameSubject(subject, former));
    const extra = ((wanted as RoleBinding).subjects ?? []).filter(
      (subject) => !known.some((other) => sameSubject(other, subject)),
    );
    if (extra.length > 0 || known.length < (binding.subjects ?? []).length) {
      binding.subjects = [...known, ...extra];
      changed = true;
    }
  }
  for (const [key, value] of Object.entries(wanted.metadata?.labels ?? {})) {
    if (next.metadata?.labels?.[key] === value) continue;
    next.metadata = { ...next.metadata, labels: { ...next.metadata?.labels, [key]: value } };
    changed = true;
  }
  return changed ? next : undefined;
}

function requestFor(object: KubeObject, verb: ApiRequest["verb"], signal: AbortSignal): ApiRequest {
  return {
    user: API_SERVER_USER,
    verb,
    group: "rbac.authorization.k8s.io",
    version: "v1",
    resource: `${object.kind?.toLowerCase()}s`,
    subresource: "",
    namespace: object.metadata?.namespace ?? "",
    name: verb === "create" ? "" : (object.metadata?.name ?? ""),
    ...(verb === "get" ? {} : { body: Buffer.from(JSON.stringify(object)), contentType: "application/json" }),
    options: { fieldManager: "coxswain-api-server" },
    userAgent: "coxswain-api-server",
    signal,
  };
}

async function reconcileOne(pipeline: Pipeline, wanted: PolicyObject, signal: AbortSignal) {
  for (let attempt = 0; ; attempt++) {
    try {
      const found = await pipeline.handle(requestFor(wanted, "get", signal));
      const current = found.type === "object" ? found.object.object : undefined;
      const next = current === undefined ? undefined : planReconcile(current, wanted);
      if (next !== undefined) await pipeline.handle(requestFor(next, "update", signal));
      return;
    } catch (error) {
      if (isReason(error, "Conflict") && attempt < 5) continue;
      if (!isReason(error, "NotFound")) throw error;
    }
    try {
      await pipeline.handle(requestFor(wanted, "create", signal));
      return;
    } catch (error) {
      if (!isReason(error, "AlreadyExists") || attempt >= 5) throw error;
    }
  }
}

/** Rejects where the store cannot be written; call it again then. */
export async function reconcileBootstrapPolicy(pipeline: Pipeline, logger: Logger, signal: AbortSignal): Promise<void> {
  const all = [...defaultClusterRoles(), ...defaultClusterRoleBindings(), ...defaultRoles(), ...defaultRoleBindings()];
  const outcomes = await Promise.allSettled(all.map((wanted) => reconcileOne(pipeline, wanted, signal)));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  logger.info({ objects: all.length }, "default RBAC roles and bindings are in place");
}

export interface BootstrapPolicyRun {
  /** Undefined once the policy is in place. */
  readonly check: () => string | undefined;
  /** Tries until it succeeds or `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function createBootstrapPolicyRun(deps: {
  readonly pipeline: Pipeline;
  readonly logger: Logger;
  readonly env: Env;
}): BootstrapPolicyRun {
  let done = false;
  return {
    check: () => (done ? undefined : "the default roles are not in place yet"),
    async run(signal) {
      for (let retryMs = FIRST_RETRY_MS; !signal.aborted && !done; retryMs = Math.min(retryMs * 2, LAST_RETRY_MS)) {
        try {
          await reconcileBootstrapPolicy(deps.pipeline, deps.logger, signal);
          done = true;
        } catch (error) {
          deps.logger.debug({ error: String(error) }, "default roles could not be reconciled, will try again");
          await Promise.race([deps.env.timers.sleep(retryMs), aborted(signal)]);
        }
      }
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
