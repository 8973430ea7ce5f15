// Invariants of certificates, tokens and policies: what is issued was approved and stays as it is, what is signed is true, and only what
// nobody needs is thrown away.
import { createHmac } from "node:crypto";
import type { CertificateSigningRequest, ConfigMap, Secret, ServiceAccount } from "@coxswain/api";
import { INVALID_SINCE_LABEL, LAST_USED_LABEL } from "@coxswain/api/core-v1/secret/legacy-tokens";
import type { KubeObject } from "@coxswain/apimachinery";
import type { Change, ClusterState } from "../cluster-state.ts";
import { readSimLegacyToken } from "../sim-signer.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

const byController = ({ actor }: Change): boolean => actor?.process.startsWith("controller-manager") === true;
const text = (value = ""): string => Buffer.from(value, "base64").toString();

/** A certificate is issued for what is approved and neither denied nor failed, once; a decision is final. */
export function certificatesFollowDecisions(): Invariant {
  return {
    name: "certificates-follow-decisions",
    check({ key, ref, object, old }) {
      if (ref.resource !== "certificatesigningrequests" || object === undefined) return OK;
      const { status = {} } = object as CertificateSigningRequest;
      const { status: before = {} } = (old ?? {}) as Partial<CertificateSigningRequest>;
      const types = (status.conditions ?? []).map(({ type }) => type);
      const wrong: string[] = [];
      if (before.certificate && before.certificate !== status.certificate) wrong.push(`${key} changed its certificate`);
      const fine = types.includes("Approved") && !types.includes("Denied") && !types.includes("Failed");
      if (status.certificate && !fine) wrong.push(`${key} has a certificate, and is ${types.join("+") || "undecided"}`);
      const undone = (before.conditions ?? []).filter(({ type }) => !types.includes(type));
      return [...wrong, ...undone.map(({ type }) => `${key} is no longer ${type}`)];
    },
  };
}

const SIGNATURE = "jws-kubeconfig-";

function signature(content: string, id: string, secret: string): string {
  const header = Buffer.from(JSON.stringify({ alg: "HS256", kid: id })).toString("base64url");
  const signed = `${header}.${Buffer.from(content).toString("base64url")}`;
  return `${header}..${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** What the signer writes is signed by tokens that there are or were, over what it says; a token without an end is not taken away. */
export function bootstrapTokensAreTrue(): Invariant {
  const known = new Map<string, string>();
  return {
    name: "bootstrap-tokens-are-true",
    check(change) {
      const { ref, key, object, old } = change;
      if (ref.resource === "secrets") {
        const { type, data = {} }: Secret = object ?? old ?? {};
        if (type !== "bootstrap.kubernetes.io/token") return OK;
        if (object !== undefined) known.set(text(data["token-id"]), text(data["token-secret"]));
        const early = object === undefined && byController(change) && data["expiration"] === undefined;
        return early ? [`${key} has no end, and was taken away`] : OK;
      }
      if (ref.resource !== "configmaps" || object?.metadata?.name !== "cluster-info" || !byController(change))
        return OK;
      const { data = {} }: ConfigMap = object;
      return Object.entries(data)
        .filter(([name]) => name.startsWith(SIGNATURE))
        .filter(([name, value]) => {
          const id = name.slice(SIGNATURE.length);
          const secret = known.get(id);
          return secret === undefined || signature(data["kubeconfig"] ?? "", id, secret) !== value;
        })
        .map(([name]) => `${key} has ${name}, which is not a signature of what it says`);
    },
  };
}

const TOKEN_SECRET = "kubernetes.io/service-account-token";
const yearBefore = (day: string): string => `${Number(day.slice(0, 4)) - 1}${day.slice(4)}`;

function accountOf(state: ClusterState, { metadata }: Secret): ServiceAccount | undefined {
  const name = metadata?.annotations?.["kubernetes.io/service-account.name"];
  return state
    .list<ServiceAccount>("serviceaccounts")
    .find((one) => one.metadata?.name === name && one.metadata?.namespace === metadata?.namespace);
}

function givenToken(key: string, secret: Secret, before: Secret | undefined): string[] {
  const [now, was] = [text(secret.data?.["token"]), text(before?.data?.["token"])];
  if (now === was) return [];
  if (was !== "") return [`${key} was given another token`];
  const { namespace, name, annotations = {} } = secret.metadata ?? {};
  const says = readSimLegacyToken(now);
  if (says === undefined) return [];
  const own =
    says.namespace === namespace &&
    says.secret === name &&
    says.serviceAccount.name === annotations["kubernetes.io/service-account.name"] &&
    says.serviceAccount.uid === annotations["kubernetes.io/service-account.uid"];
  return own ? [] : [`${key} was given a token of ${says.namespace}/${says.serviceAccount.name}`];
}

function marked(key: string, secret: Secret, before: Secret | undefined): string[] {
  const labels = secret.metadata?.labels ?? {};
  const since = labels[INVALID_SINCE_LABEL];
  if (since === undefined || before?.metadata?.labels?.[INVALID_SINCE_LABEL] === since) return [];
  const used = labels[LAST_USED_LABEL];
  return used !== undefined && used > yearBefore(since) ? [`${key} was marked, and was used on ${used}`] : [];
}

/** A Secret's token is its account's, for good; it goes with the account, or once it was marked, and only what is idle is marked. */
export function accountTokensAreKept(): Invariant {
  return {
    name: "account-tokens-are-kept",
    check(change, state) {
      const { ref, key } = change;
      const secret: Secret = change.object ?? change.old ?? {};
      if (ref.resource !== "secrets" || secret.type !== TOKEN_SECRET) return OK;
      const before: Secret | undefined = change.old;
      if (change.object !== undefined) return [...givenToken(key, secret, before), ...marked(key, secret, before)];
      const uid = secret.metadata?.annotations?.["kubernetes.io/service-account.uid"];
      const account = accountOf(state, secret);
      const lives = account !== undefined && (uid === undefined || account.metadata?.uid === uid);
      const isMarked = secret.metadata?.labels?.[INVALID_SINCE_LABEL] !== undefined;
      return lives && !isMarked && byController(change) ? [`${key} was taken away, and its account is there`] : OK;
    },
  };
}

/** A status says nothing of a policy that is yet to come, and does not go back to one of before. */
export function policyStatusKeepsUp(): Invariant {
  return {
    name: "policy-status-keeps-up",
    check({ ref, key, object, old }) {
      if (ref.resource !== "validatingadmissionpolicies" || object === undefined) return OK;
      const seen = (one: KubeObject | undefined): number =>
        (one as { status?: { observedGeneration?: number } } | undefined)?.status?.observedGeneration ?? 0;
      const generation = object.metadata?.generation ?? 0;
      if (seen(object) > generation) return [`${key} of generation ${generation} has the status of ${seen(object)}`];
      const same = old?.metadata?.uid === object.metadata?.uid;
      return same && seen(object) < seen(old) ? [`the status of ${key} went back to ${seen(object)}`] : OK;
    },
  };
}
