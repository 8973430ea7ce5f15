// How api-server and controller-manager speak with each other of tokens that live in Secrets.
// https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-legacy-token-last-used

/** Labels: the days of UTC on which the token was last used, and since when it is worthless. */
export const LAST_USED_LABEL = "kubernetes.io/legacy-token-last-used";
export const INVALID_SINCE_LABEL = "kubernetes.io/legacy-token-invalid-since";

/** The ConfigMap whose `since` is the day from which on use is noted. */
export const TOKEN_TRACKING = {
  namespace: "kube-system",
  name: "kube-apiserver-legacy-service-account-token-tracking",
} as const;
