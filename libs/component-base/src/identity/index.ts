// The identity door: certificates, kubeconfigs and service-account tokens. Everything that signs is here.
export * from "./certificates.ts";
export * from "./kubeconfig.ts";
export * from "./legacy-tokens.ts";
export * from "./node-identity.ts";
export * from "./pki.ts";
export * from "./service-account-tokens.ts";
export * from "./signing-requests.ts";
