// ConfigMap: keys are file names, text and binary share them, 1 MiB in all, and `immutable` is a one-way door.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldInvalid, fieldTooLong, keyPath, validateConfigMapKey } from "@coxswain/apimachinery";
import { defineKind } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { ConfigMap } from "../../types.gen.ts";
import { base64Bytes, isBase64, MAX_DATA_BYTES } from "../../validation/data-keys.ts";

function validate(configMap: ConfigMap): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(configMap.data ?? {})) {
    for (const message of validateConfigMapKey(key)) errors.push(fieldInvalid(keyPath("data", key), key, message));
    if (key in (configMap.binaryData ?? {})) {
      errors.push(fieldInvalid(keyPath("data", key), key, "duplicate of key present in binaryData"));
    }
    size += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(configMap.binaryData ?? {})) {
    for (const message of validateConfigMapKey(key))
      errors.push(fieldInvalid(keyPath("binaryData", key), key, message));
    if (!isBase64(value)) errors.push(fieldInvalid(keyPath("binaryData", key), value, "must be base64"));
    size += base64Bytes(value);
  }
  if (size > MAX_DATA_BYTES) errors.push(fieldTooLong("[]", MAX_DATA_BYTES));
  return errors;
}

function validateUpdate(configMap: ConfigMap, old: ConfigMap): FieldError[] {
  const errors: FieldError[] = [];
  if (old.immutable) {
    if (!configMap.immutable) errors.push(fieldForbidden("immutable", "field is immutable when `immutable` is set"));
    for (const name of ["data", "binaryData"] as const) {
      if (!sameValue(configMap[name], old[name])) {
        errors.push(fieldForbidden(name, "field is immutable when `immutable` is set"));
      }
    }
  }
  return [...errors, ...validate(configMap)];
}

export const configMapKind = defineKind<ConfigMap>({
  group: "",
  version: "v1",
  kind: "ConfigMap",
  resource: "configmaps",
  shortNames: ["cm"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.ConfigMap",
  validateCreate: validate,
  validateUpdate,
  columns: [NAME, column("Data", "The number of entries."), AGE],
  row: (configMap, context) => [
    nameOf(configMap),
    Object.keys(configMap.data ?? {}).length + Object.keys(configMap.binaryData ?? {}).length,
    age(configMap, context),
  ],
});
