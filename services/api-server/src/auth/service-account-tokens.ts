// Service-account tokens: what they say, and whether what they say still holds. Guarantees: a token is good only while its
// ServiceAccount, and the pod, secret or node it is bound to, exist with the same uid, and a token that lives in a Secret only
// while that Secret holds it; signature, issuer, audience and expiry are the verifier's part.
import type { Pod, Secret, ServiceAccount, TokenRequest } from "@coxswain/api";
import { INVALID_SINCE_LABEL } from "@coxswain/api/core-v1/secret/legacy-tokens";
import {
  fieldInvalid,
  formatTime,
  newBadRequest,
  newConflict,
  newInvalid,
  newNotFound,
  newUnauthorized,
} from "@coxswain/apimachinery";
import type { KubeObject } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { TokenClaims, TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { Clock } from "@coxswain/env";
import type { DocumentRequest, ObjectSource } from "../pipeline/extension.ts";
import { serviceAccountUser } from "./identity.ts";

interface NamedRef {
  readonly name: string;
  readonly uid?: string;
}

const MIN_SECONDS = 10 * 60;
const MAX_SECONDS = 2 ** 32;
const KIND = { group: "authentication.k8s.io", kind: "TokenRequest" };
const CORE = (resource: string): { group: string; resource: string } => ({ group: "", resource });

/** Who is being deleted for longer than that is gone, whatever holds the object. */
const LEEWAY_MS = 60_000;

/** Hears of each Secret whose token was shown. */
type Used = (secret: Secret) => void;

type MustExist = (resource: string, namespace: string, ref: NamedRef | undefined) => void;

const existence =
  (source: ObjectSource, nowMs: number): MustExist =>
  (resource, namespace, ref) => {
    if (ref === undefined) return;
    const metadata = source.get(CORE(resource), namespace, ref.name)?.object.metadata;
    if (metadata === undefined || metadata.uid !== ref.uid) {
      throw newUnauthorized("service account token has been invalidated");
    }
    const { deletionTimestamp } = metadata;
    if (deletionTimestamp !== undefined && Date.parse(deletionTimestamp) < nowMs - LEEWAY_MS) {
      throw newUnauthorized("service account token has been invalidated");
    }
  };

/** A Secret that is being deleted, holds another token or was marked as invalid makes the token worthless. */
function mustBeHeld(source: ObjectSource, namespace: string, legacy: TokenClaims["legacy"], used: Used): void {
  if (legacy === undefined) return;
  const found: Secret | undefined = source.get(CORE("secrets"), namespace, legacy.secret)?.object;
  const { deletionTimestamp, labels = {} } = found?.metadata ?? {};
  const held = Buffer.from(found?.data?.["token"] ?? "", "base64").toString();
  if (found === undefined || held !== legacy.token || deletionTimestamp !== undefined) throw newUnauthorized();
  // Who still uses what is worthless keeps it from being taken away.
  used(found);
  if (labels[INVALID_SINCE_LABEL]) throw newUnauthorized();
}

/** The user that valid claims stand for. Throws Unauthorized where an object behind them is gone or was replaced. */
export function userOfClaims(claims: TokenClaims, source: ObjectSource, nowMs: number, used: Used): UserInfo {
  const { namespace, serviceAccount, pod, node, secret, legacy } = claims;
  const mustExist = existence(source, nowMs);
  mustExist("serviceaccounts", namespace, serviceAccount);
  mustExist("pods", namespace, pod);
  mustExist("secrets", namespace, secret);
  // A pod's token names its node too, which then only tells where the pod is.
  if (pod === undefined) mustExist("nodes", "", node);
  mustBeHeld(source, namespace, legacy, used);
  const extra: Record<string, string[]> = {};
  if (claims.jti !== "") extra["authentication.kubernetes.io/credential-id"] = [`JTI=${claims.jti}`];
  const add = (kind: string, ref: NamedRef | undefined): void => {
    if (ref === undefined) return;
    extra[`authentication.kubernetes.io/${kind}-name`] = [ref.name];
    if (ref.uid !== undefined) extra[`authentication.kubernetes.io/${kind}-uid`] = [ref.uid];
  };
  add("node", node);
  add("pod", pod);
  return serviceAccountUser(namespace, serviceAccount.name, serviceAccount.uid, extra);
}

function secondsOf(request: TokenRequest, name: string): number {
  const seconds = request.spec.expirationSeconds ?? 3600;
  const field = "spec.expirationSeconds";
  const problem =
    seconds < MIN_SECONDS
      ? "may not specify a duration less than 10 minutes"
      : seconds > MAX_SECONDS
        ? "may not specify a duration larger than 2^32 seconds"
        : undefined;
  if (problem !== undefined) throw newInvalid(KIND, name, [fieldInvalid(field, seconds, problem)]);
  return seconds;
}

/** What a request says of its account is that of the account. */
function checkIdentity(
  { metadata = {} }: TokenRequest,
  account: { name: string; namespace: string; uid: string },
): void {
  for (const field of ["name", "namespace"] as const) {
    const given = metadata[field];
    if (!given || given === account[field]) continue;
    const detail = `must match the service account ${field} if specified`;
    throw newInvalid(KIND, account.name, [fieldInvalid(`metadata.${field}`, given, detail)]);
  }
  if (!metadata.uid || metadata.uid === account.uid) return;
  const message = `the UID in the token request (${metadata.uid}) does not match the UID of the service account (${account.uid})`;
  throw newConflict({ group: KIND.group, resource: KIND.kind }, account.name, message);
}

function boundClaims(source: ObjectSource, request: TokenRequest, namespace: string, account: string) {
  const ref = request.spec.boundObjectRef;
  if (ref === undefined || ref === null) return {};
  const kind = ref.kind ?? "";
  const resource = { Pod: "pods", Secret: "secrets", Node: "nodes" }[kind];
  if (resource === undefined) {
    throw newBadRequest(`cannot bind token for serviceaccount to object of type ${ref.apiVersion}, Kind=${kind}`);
  }
  const name = ref.name ?? "";
  const found = source.get(CORE(resource), kind === "Node" ? "" : namespace, name);
  if (found === undefined) throw newNotFound(CORE(resource), name);
  const uid = found.object.metadata?.uid ?? "";
  if (ref.uid !== undefined && ref.uid !== "" && ref.uid !== uid) {
    const message =
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. ` +
      "The object might have been deleted and then recreated";
    throw newConflict(CORE(resource), name, message);
  }
  if (kind !== "Pod") return kind === "Secret" ? { boundSecret: { name, uid } } : { boundNode: { name, uid } };
  const pod = found.object as Pod;
  if ((pod.spec?.serviceAccountName ?? "default") !== account) {
    const what = `cannot bind token for serviceaccount ${JSON.stringify(account)}`;
    throw newBadRequest(`${what} to pod running with different serviceaccount name.`);
  }
  const nodeName = pod.spec?.nodeName;
  if (nodeName === undefined || nodeName === "") return { boundPod: { name, uid } };
  const node = source.get(CORE("nodes"), "", nodeName);
  const nodeUid = node?.object.metadata?.uid;
  return {
    boundPod: { name, uid },
    boundNode: { name: nodeName, ...(nodeUid === undefined ? {} : { uid: nodeUid }) },
  };
}

export interface TokenIssuerDeps {
  readonly keys: TokenSigner;
  readonly source: () => ObjectSource;
  readonly clock: Clock;
}

/** Answers serviceaccounts/NAME/token: returns the TokenRequest with its status. */
export function createTokenIssuer(deps: TokenIssuerDeps): (input: DocumentRequest) => Promise<KubeObject> {
  return async ({ body, parent }) => {
    const request = { ...(body as TokenRequest), spec: (body as TokenRequest).spec ?? { audiences: [] } };
    if (parent === undefined) throw newNotFound(CORE("serviceaccounts"), "");
    const account = parent.object as ServiceAccount;
    const name = account.metadata?.name ?? "";
    const namespace = account.metadata?.namespace ?? "";
    const uid = account.metadata?.uid ?? "";
    checkIdentity(request, { name, namespace, uid });
    const expirationSeconds = secondsOf(request, name);
    const audiences = request.spec.audiences?.length ? request.spec.audiences : [deps.keys.issuer];
    const { token, expiresAtMs } = await deps.keys.sign({
      namespace,
      serviceAccount: name,
      uid,
      audiences,
      expirationSeconds,
      ...boundClaims(deps.source(), request, namespace, name),
    });
    const answer: TokenRequest = {
      ...request,
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: { name, namespace, uid, creationTimestamp: formatTime(deps.clock.now()) },
      spec: { ...request.spec, audiences, expirationSeconds },
      status: { token, expirationTimestamp: formatTime(expiresAtMs) },
    };
    return answer;
  };
}
