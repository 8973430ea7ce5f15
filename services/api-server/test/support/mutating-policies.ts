// What an api-server is started with that serves MutatingAdmissionPolicies and acts by them.
import { parseFeatureGates } from "../../src/features/feature-gates.ts";
import { parseRuntimeConfig } from "../../src/features/runtime-config.ts";

export const MUTATING_POLICIES_ON = {
  served: parseRuntimeConfig(["admissionregistration.k8s.io/v1beta1=true"]),
  features: parseFeatureGates(["MutatingAdmissionPolicy=true"]),
};
