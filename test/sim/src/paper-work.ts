// The cluster's papers: requests for certificates that are approved, signed, denied and thrown away, tokens for machines that want
// to join and for accounts, those that nobody uses any more, and policies that are told what is wrong with them.
import {
  CERTIFICATE_SIGNING_REQUESTS,
  CONFIG_MAPS,
  SECRETS,
  SERVICE_ACCOUNTS,
  type CertificateSigningRequest,
  type ConfigMap,
  type Secret,
  type ServiceAccount,
  type ValidatingAdmissionPolicy,
} from "@coxswain/api";
import { INVALID_SINCE_LABEL, LAST_USED_LABEL, TOKEN_TRACKING } from "@coxswain/api/core-v1/secret/legacy-tokens";
import { formatTime, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { Random } from "@coxswain/env";
import type { Driver } from "./driver.ts";
import { ROOT_CA } from "./programs.ts";
import { NODE_REQUEST, PERSON_REQUEST } from "./sim-authority.ts";
import { readSimLegacyToken } from "./sim-signer.ts";
import type { World } from "./world.ts";

export interface PaperShape {
  /** When people decide about requests. */
  readonly decideAtMs: number;
  /** After how long what is old enough is thrown away; counted from the world's beginning. */
  readonly disposeAtMs: number;
  /** How long the passing bootstrap token holds, and when the cluster tells other things of itself. */
  readonly tokenForMs: number;
  readonly infoAtMs: number;
  readonly accountGoesAtMs: number;
  readonly policyAtMs: number;
}

export function planPapers(random: Random, withinMs: number): PaperShape {
  return {
    decideAtMs: random.int(withinMs),
    disposeAtMs: 20_000 + random.int(30_000),
    tokenForMs: 5_000 + random.int(40_000),
    infoAtMs: random.int(withinMs),
    accountGoesAtMs: random.int(withinMs),
    policyAtMs: random.int(withinMs),
  };
}

const SYSTEM = "kube-system";
const PUBLIC = "kube-public";
const INFO = "cluster-info";
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LONG_AGO = "2020-01-01T00:00:00Z";
const TOKEN_SECRET = "kubernetes.io/service-account-token";
const POLICIES: ResourceRef = {
  group: "admissionregistration.k8s.io",
  version: "v1",
  resource: "validatingadmissionpolicies",
};

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const named =
  (name: string) =>
  ({ metadata }: KubeObject): boolean =>
    metadata?.name === name;

function signingRequest(
  name: string,
  signer: string,
  pem: string,
  usages: readonly string[] = ["digital signature", "client auth"],
): CertificateSigningRequest {
  const spec = { request: base64(pem), signerName: `kubernetes.io/${signer}`, usages: [...usages] };
  return {
    kind: "CertificateSigningRequest",
    apiVersion: "certificates.k8s.io/v1",
    metadata: { name },
    spec,
  };
}

const CLIENT = "kube-apiserver-client";
const KUBELET = "kube-apiserver-client-kubelet";

/** An object as a cluster of before left it. */
const uidOf = (at: number): string => `00000000-0000-4000-9000-${String(at).padStart(12, "0")}`;

function oldRequests(nowMs: number, disposeAtMs: number): KubeObject[] {
  const old = (at: number, name: string, creationMs: number, status: object): KubeObject => {
    const request = signingRequest(name, CLIENT, PERSON_REQUEST);
    const metadata = { name, uid: uidOf(at), creationTimestamp: formatTime(creationMs) };
    return { ...request, metadata, spec: { ...request.spec, username: "jane" }, status } as KubeObject;
  };
  const denied = {
    type: "Denied",
    status: "True",
    reason: "No",
    message: "",
    lastUpdateTime: formatTime(nowMs + disposeAtMs - HOUR_MS),
  };
  return [
    old(1, "old-denied", nowMs - 2 * HOUR_MS, { conditions: [denied] }),
    old(2, "old-open", nowMs + disposeAtMs - DAY_MS, {}),
    old(3, "young-open", nowMs - HOUR_MS, {}),
  ];
}

/** An account whose tokens nobody uses but one, and that was noted for long. */
function oldTokens(): KubeObject[] {
  const account = { name: "veteran", uid: uidOf(10) };
  const token = (at: number, name: string, labels: Record<string, string>): KubeObject =>
    ({
      kind: "Secret",
      apiVersion: "v1",
      metadata: {
        name,
        namespace: SYSTEM,
        uid: uidOf(at),
        creationTimestamp: LONG_AGO,
        labels,
        annotations: {
          "kubernetes.io/service-account.name": account.name,
          "kubernetes.io/service-account.uid": account.uid,
        },
      },
      data: { token: base64("old"), "ca.crt": base64(ROOT_CA), namespace: base64(SYSTEM) },
      type: TOKEN_SECRET,
    }) as KubeObject;
  const names = ["old-idle", "old-marked", "old-used"];
  return [
    {
      kind: "ServiceAccount",
      apiVersion: "v1",
      metadata: { ...account, namespace: SYSTEM, creationTimestamp: LONG_AGO },
      secrets: names.map((name) => ({ name })),
    } as KubeObject,
    token(11, "old-idle", {}),
    token(12, "old-marked", { [INVALID_SINCE_LABEL]: "2024-01-01" }),
    token(13, "old-used", { [LAST_USED_LABEL]: "2025-12-30" }),
    {
      kind: "ConfigMap",
      apiVersion: "v1",
      metadata: { ...TOKEN_TRACKING, uid: uidOf(14), creationTimestamp: LONG_AGO },
      data: { since: "2020-01-01" },
    } as KubeObject,
  ];
}

function bootstrapToken(id: string, expiration?: string): Secret {
  const values = {
    "token-id": id,
    "token-secret": `${id}${id}0000`,
    "usage-bootstrap-signing": "true",
    ...(expiration === undefined ? {} : { expiration }),
  };
  return {
    metadata: { name: `bootstrap-token-${id}`, namespace: SYSTEM },
    type: "bootstrap.kubernetes.io/token",
    data: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, base64(value)])),
  };
}

function policy(expressions: readonly string[]): ValidatingAdmissionPolicy {
  const rule = { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["deployments"] };
  return {
    metadata: { name: "thoughtful" },
    spec: {
      matchConstraints: { resourceRules: [rule] },
      validations: expressions.map((expression) => ({ expression })),
    },
  };
}

const LASTING = "lastng";
const ENDING = "ending";
const GOOD = "object.spec.replicas > 1";
const BAD = "object.replicas > 1";

export class PaperWork {
  readonly #world: World;
  readonly #driver: Driver;
  readonly #shape: PaperShape;

  constructor(world: World, driver: Driver, shape: PaperShape) {
    this.#world = world;
    this.#driver = driver;
    this.#shape = shape;
  }

  /** What is there before the cluster comes up. */
  inherited(): { readonly ref: ResourceRef; readonly object: KubeObject }[] {
    const refs: Readonly<Record<string, ResourceRef>> = {
      CertificateSigningRequest: CERTIFICATE_SIGNING_REQUESTS,
      Secret: SECRETS,
      ServiceAccount: SERVICE_ACCOUNTS,
      ConfigMap: CONFIG_MAPS,
    };
    const objects = [...oldRequests(this.#world.env.clock.now(), this.#shape.disposeAtMs), ...oldTokens()];
    return objects.map((object) => ({ ref: refs[object.kind ?? ""]!, object }));
  }

  async run(): Promise<void> {
    await Promise.all([this.#certify(), this.#letJoin(), this.#giveTokens(), this.#judge()]);
  }

  async #certify(): Promise<void> {
    const ask = (request: CertificateSigningRequest): Promise<void> =>
      this.#driver.create(CERTIFICATE_SIGNING_REQUESTS, request, "");
    await ask(signingRequest("kubelet", KUBELET, NODE_REQUEST));
    await ask(signingRequest("jane", CLIENT, PERSON_REQUEST));
    await ask(signingRequest("no", CLIENT, PERSON_REQUEST));
    await ask(signingRequest("wrong", CLIENT, PERSON_REQUEST, ["server auth"]));
    await this.#world.env.timers.sleep(this.#shape.decideAtMs);
    for (const name of ["jane", "wrong"]) await this.#decide(name, "Approved");
    await this.#decide("no", "Denied");
  }

  #decide(name: string, type: string): Promise<void> {
    return this.#driver.decide<CertificateSigningRequest>(
      CERTIFICATE_SIGNING_REQUESTS,
      name,
      "approval",
      (seen): CertificateSigningRequest | undefined => {
        const { conditions = [] } = seen.status ?? {};
        if (conditions.some((one) => one.type === type)) return undefined;
        const decision = { type, status: "True", reason: "ByHand", message: "" };
        return { ...seen, status: { ...seen.status, conditions: [...conditions, decision] } };
      },
    );
  }

  async #letJoin(): Promise<void> {
    const { env } = this.#world;
    await this.#driver.create(SECRETS, bootstrapToken(LASTING), SYSTEM);
    const expiration = formatTime(env.clock.now() + this.#shape.tokenForMs);
    await this.#driver.create(SECRETS, bootstrapToken(ENDING, expiration), SYSTEM);
    const info: ConfigMap = { metadata: { name: INFO, namespace: PUBLIC }, data: { kubeconfig: "first" } };
    await this.#driver.create(CONFIG_MAPS, info, PUBLIC);
    await env.timers.sleep(this.#shape.infoAtMs);
    await this.#driver.edit(CONFIG_MAPS, INFO, { data: { kubeconfig: "second" } }, PUBLIC);
  }

  async #giveTokens(): Promise<void> {
    for (const name of ["robot", "leaver"]) {
      await this.#driver.create(SERVICE_ACCOUNTS, { metadata: { name, namespace: SYSTEM } }, SYSTEM);
      const annotations = { "kubernetes.io/service-account.name": name };
      const secret: Secret = {
        metadata: { name: `${name}-token`, namespace: SYSTEM, annotations },
        type: TOKEN_SECRET,
      };
      await this.#driver.create(SECRETS, secret, SYSTEM);
    }
    await this.#world.env.timers.sleep(this.#shape.accountGoesAtMs);
    await this.#driver.remove(SERVICE_ACCOUNTS, "leaver", "Background", SYSTEM);
  }

  async #judge(): Promise<void> {
    await this.#driver.create(POLICIES, policy([GOOD]), "");
    await this.#world.env.timers.sleep(this.#shape.policyAtMs);
    await this.#driver.edit(POLICIES, "thoughtful", { spec: policy([GOOD, BAD]).spec }, "");
  }

  /** What is not as it should be; empty where all is. */
  unconverged(): string[] {
    return [...this.#certified(), ...this.#joining(), ...this.#given(), ...this.#cleaned(), ...this.#judged()];
  }

  #certified(): string[] {
    const requests = this.#world.state.list<CertificateSigningRequest>("certificatesigningrequests");
    const shown = requests.map(({ metadata, status }) => {
      const types = (status?.conditions ?? []).map(({ type }) => type).join("+");
      return `${metadata?.name} ${types}${status?.certificate ? " signed" : ""}`;
    });
    const wanted = ["jane Approved signed", "kubelet Approved signed", "no Denied", "wrong Approved+Failed"];
    const all = [...wanted, "young-open "];
    const got = shown.toSorted((a, b) => (a < b ? -1 : 1)).join(", ");
    return got === all.join(", ") ? [] : [`the requests for certificates are: ${got}`];
  }

  #secret(name: string): Secret | undefined {
    return this.#world.state
      .list<Secret>("secrets")
      .find((one) => named(name)(one) && one.metadata?.namespace === SYSTEM);
  }

  /** That the signatures are right is an invariant's to see. */
  #joining(): string[] {
    const info = this.#world.state.list<ConfigMap>("configmaps").find(named(INFO));
    const keys = Object.keys(info?.data ?? {}).toSorted((a, b) => (a < b ? -1 : 1));
    const wrong: string[] = [];
    if (keys.join() !== `jws-kubeconfig-${LASTING},kubeconfig`) wrong.push(`${INFO} has ${keys.join()}`);
    if (info?.data?.["kubeconfig"] !== "second") wrong.push(`${INFO} is not the latest`);
    if (this.#secret(`bootstrap-token-${LASTING}`) === undefined) wrong.push("the lasting token is gone");
    if (this.#secret(`bootstrap-token-${ENDING}`) !== undefined) wrong.push("the ended token is still there");
    return wrong;
  }

  #given(): string[] {
    const account = this.#world.state.list<ServiceAccount>("serviceaccounts").find(named("robot"));
    const { token, "ca.crt": ca } = this.#secret("robot-token")?.data ?? {};
    const says = readSimLegacyToken(Buffer.from(token ?? "", "base64").toString());
    const wrong: string[] = [];
    if (says?.serviceAccount.uid !== account?.metadata?.uid || says?.secret !== "robot-token") {
      wrong.push("the robot has no token of its own");
    }
    if (ca !== base64(ROOT_CA)) wrong.push("the robot does not know the CA");
    if (this.#secret("leaver-token") !== undefined) wrong.push("a token outlived its account");
    return wrong;
  }

  #cleaned(): string[] {
    const mark = (name: string): string => this.#secret(name)?.metadata?.labels?.[INVALID_SINCE_LABEL] ?? "unmarked";
    const wrong: string[] = [];
    if (mark("old-idle") === "unmarked") wrong.push("an idle token is not marked");
    if (this.#secret("old-marked") !== undefined) wrong.push("a token that was marked long ago is still there");
    const used = this.#secret("old-used");
    if (used === undefined || mark("old-used") !== "unmarked") wrong.push("a token in use was marked or taken away");
    return wrong;
  }

  #judged(): string[] {
    const { metadata, status } =
      this.#world.state.list<ValidatingAdmissionPolicy>("validatingadmissionpolicies").find(named("thoughtful")) ?? {};
    const told = (status?.typeChecking?.expressionWarnings ?? []).map(({ fieldRef }) => fieldRef).join();
    if (status?.observedGeneration !== metadata?.generation || metadata?.generation !== 2) {
      return [`the policy's status is of generation ${status?.observedGeneration}, not ${metadata?.generation}`];
    }
    return told === "spec.validations[1].expression" ? [] : [`the policy is told of ${told || "nothing"}`];
  }
}
