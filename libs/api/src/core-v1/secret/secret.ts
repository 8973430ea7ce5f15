// Secret: base64 data of at most 1 MiB, keys that its type asks for, and a type that never changes.
// stringData is written into data on the way in and never read back.
import type { FieldError } from "@coxswain/apimachinery";
import {
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  keyPath,
  validateConfigMapKey,
  jsonOrNothing,
} from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { Secret } from "../../types.gen.ts";
import { base64Bytes, isBase64, MAX_DATA_BYTES } from "../../validation/data-keys.ts";
import { validateImmutableField } from "../../validation/immutable.ts";

const SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name";

function validateData(secret: Secret): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    for (const message of validateConfigMapKey(key)) errors.push(fieldInvalid(keyPath("data", key), key, message));
    if (!isBase64(value)) errors.push(fieldInvalid(keyPath("data", key), "<base64>", "must be base64"));
    size += base64Bytes(value);
  }
  if (size > MAX_DATA_BYTES) errors.push(fieldTooLong("data", MAX_DATA_BYTES));
  return errors;
}

const isJson = (base64: string): boolean => jsonOrNothing(Buffer.from(base64, "base64").toString()) !== undefined;

function validateDockerConfig(secret: Secret, key: string): FieldError[] {
  const value = secret.data?.[key];
  const at = keyPath("data", key);
  if (value === undefined) return [fieldRequired(at, "")];
  // The value is a credential: upstream hides it in the message, and so must this.
  return isJson(value) ? [] : [fieldInvalid(at, "<secret contents redacted>", "invalid character in JSON document")];
}

function validateType(secret: Secret): FieldError[] {
  const has = (key: string) => secret.data?.[key] !== undefined;
  const required = (key: string) => (has(key) ? [] : [fieldRequired(keyPath("data", key), "")]);
  switch (secret.type ?? "") {
    case "kubernetes.io/service-account-token": {
      const name = secret.metadata?.annotations?.[SERVICE_ACCOUNT_NAME] ?? "";
      return name === "" ? [fieldRequired(keyPath("metadata.annotations", SERVICE_ACCOUNT_NAME), "")] : [];
    }
    case "kubernetes.io/dockercfg":
      return validateDockerConfig(secret, ".dockercfg");
    case "kubernetes.io/dockerconfigjson":
      return validateDockerConfig(secret, ".dockerconfigjson");
    case "kubernetes.io/basic-auth":
      return has("username") || has("password")
        ? []
        : [fieldRequired("data[username]", ""), fieldRequired("data[password]", "")];
    case "kubernetes.io/ssh-auth":
      return has("ssh-privatekey") && secret.data?.["ssh-privatekey"] !== ""
        ? []
        : [fieldRequired("data[ssh-privatekey]", "")];
    case "kubernetes.io/tls":
      return [...required("tls.crt"), ...required("tls.key")];
    default:
      return [];
  }
}

function validate(secret: Secret): FieldError[] {
  return [...validateData(secret), ...validateType(secret)];
}

function validateUpdate(secret: Secret, old: Secret): FieldError[] {
  const errors = validateImmutableField(secret.type, old.type, "type");
  if (old.immutable) {
    if (!secret.immutable) errors.push(fieldForbidden("immutable", "field is immutable when `immutable` is set"));
    if (!sameValue(secret.data, old.data)) {
      errors.push(fieldForbidden("data", "field is immutable when `immutable` is set"));
    }
  }
  return [...errors, ...validate(secret)];
}

export const secretKind = defineKind<Secret>({
  group: "",
  version: "v1",
  kind: "Secret",
  resource: "secrets",
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Secret",
  defaults(secret) {
    secret.type ||= "Opaque";
    for (const [key, value] of Object.entries(secret.stringData ?? {})) {
      secret.data = { ...secret.data, [key]: Buffer.from(value).toString("base64") };
    }
    delete secret.stringData;
  },
  validateCreate: validate,
  validateUpdate,
  strategy: plainStrategy(),
  columns: [NAME, column("Type", "What the secret is for."), column("Data", "The number of entries."), AGE],
  row: (secret, context) => [
    nameOf(secret),
    secret.type ?? "",
    Object.keys(secret.data ?? {}).length,
    age(secret, context),
  ],
  selectableFields: (secret) => ({ type: secret.type ?? "" }),
});
