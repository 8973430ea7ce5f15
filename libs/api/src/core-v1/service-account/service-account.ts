// ServiceAccount: an identity for pods. Its tokens come from the token subresource.
import { defineKind, plainStrategy, subresource } from "../../define-kind.ts";
import { AUTHENTICATION } from "../../groups.ts";
import { age, AGE, NAME, nameOf } from "../../printing.ts";
import type { ServiceAccount } from "../../types.gen.ts";

/** Pods of an account that says `true` by it may name the Secrets that it lists, and no others. */
export const ENFORCE_MOUNTABLE_SECRETS = "kubernetes.io/enforce-mountable-secrets";

function keepOnlyNames(account: ServiceAccount): void {
  if (account.secrets) account.secrets = account.secrets.map(({ name }) => ({ name }));
}

export const serviceAccountKind = defineKind<ServiceAccount>({
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  resource: "serviceaccounts",
  shortNames: ["sa"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.ServiceAccount",
  returnDeletedObject: true,
  subresources: [subresource("token", ["create"], [AUTHENTICATION, "v1", "TokenRequest"])],
  strategy: plainStrategy({
    prepareForCreate: keepOnlyNames,
    prepareForUpdate: keepOnlyNames,
    warnings(account, old) {
      const annotated = account.metadata?.annotations?.[ENFORCE_MOUNTABLE_SECRETS] !== undefined;
      return annotated && old?.metadata?.annotations?.[ENFORCE_MOUNTABLE_SECRETS] === undefined
        ? [
            `metadata.annotations[${ENFORCE_MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`,
          ]
        : [];
    },
  }),
  columns: [NAME, AGE],
  row: (account, context) => [nameOf(account), age(account, context)],
});
