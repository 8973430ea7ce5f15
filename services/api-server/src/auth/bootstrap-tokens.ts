// Bootstrap tokens, with which new machines ask for their certificates: Secrets of type bootstrap.kubernetes.io/token in
// kube-system. Guarantees: a token holds exactly while its Secret says so; comparing it tells nothing by its time; nobody gets
// a group outside system:bootstrappers by one.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
import { timingSafeEqual } from "node:crypto";
import { SECRETS, type Secret } from "@coxswain/api";
import type { UserInfo } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";
import { AUTHENTICATED_GROUP } from "./identity.ts";

const NAMESPACE = "kube-system";
const TYPE = "bootstrap.kubernetes.io/token";
const FORM = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const BOOTSTRAPPERS = "system:bootstrappers";
const EXTRA_GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

/** True where the text has the form of a bootstrap token, valid or not. */
export function isBootstrapToken(token: string): boolean {
  return FORM.test(token);
}

/** The user of a bootstrap token; undefined where it is none, or none that holds. */
export function bootstrapUser(token: string, source: ObjectSource, clock: Clock): UserInfo | undefined {
  const [, id, secret] = FORM.exec(token) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  const found: Secret | undefined = source.get(SECRETS, NAMESPACE, `bootstrap-token-${id}`)?.object;
  return found === undefined ? undefined : planUser(found, id, secret, clock.now());
}

function planUser(stored: Secret, id: string, secret: string, nowMs: number): UserInfo | undefined {
  if (stored.metadata?.deletionTimestamp !== undefined || stored.type !== TYPE) return undefined;
  const text = (key: string): string => Buffer.from(stored.data?.[key] ?? "", "base64").toString();
  if (!sameText(text("token-secret"), secret) || text("token-id") !== id) return undefined;
  if (text("usage-bootstrap-authentication") !== "true" || hasExpired(text("expiration"), nowMs)) return undefined;
  const extra = new Set(
    text("auth-extra-groups")
      .split(",")
      .filter((group) => group !== ""),
  );
  if ([...extra].some((group) => !EXTRA_GROUP.test(group))) return undefined;
  const groups = [...new Set([BOOTSTRAPPERS, ...[...extra].toSorted()]), AUTHENTICATED_GROUP];
  return { username: `system:bootstrap:${id}`, groups };
}

/** A time that cannot be read has passed. */
function hasExpired(expiration: string, nowMs: number): boolean {
  if (expiration === "") return false;
  const at = /^\d{4}-\d\d-\d\dT/.test(expiration) ? Date.parse(expiration) : Number.NaN;
  return !(at > nowMs);
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
