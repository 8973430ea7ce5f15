// What an AuthorizationConfiguration says, after it was read and found right.
// https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/#apiserver-config-k8s-io-v1-AuthorizationConfiguration

export type BuiltInType = "AlwaysAllow" | "AlwaysDeny" | "Node" | "RBAC";

export interface WebhookSettings {
  /** How long an answer that allows is remembered, ms; 0: not at all. */
  readonly authorizedTtlMs: number;
  /** The same of all other answers. */
  readonly unauthorizedTtlMs: number;
  readonly timeoutMs: number;
  /** Of what is sent, and of the answer. */
  readonly reviewVersion: "v1" | "v1beta1";
  /** What becomes of a request about which the webhook cannot be asked. */
  readonly failurePolicy: "NoOpinion" | "Deny";
  readonly kubeconfigFile: string;
  /** CEL expressions: it is asked where all of them hold. */
  readonly conditions: readonly string[];
}

export type AuthorizerSettings =
  | { readonly type: BuiltInType; readonly name: string }
  | { readonly type: "Webhook"; readonly name: string; readonly webhook: WebhookSettings };

export const DEFAULT_AUTHORIZERS: readonly AuthorizerSettings[] = [
  { type: "Node", name: "node" },
  { type: "RBAC", name: "rbac" },
];
