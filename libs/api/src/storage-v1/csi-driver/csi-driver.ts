// CSIDriver: what a storage driver can do and wants.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldDuplicate, fieldInvalid, fieldNotSupported, fieldTooLong } from "@coxswain/apimachinery";
import { defineKind, plainStrategy, setGeneration } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { CSIDriver, StorageTokenRequest as TokenRequest } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";

const MAX_NAME = 63;
const MIN_UPDATE_SECONDS = 10;
const TOKENS_IN_SECRETS =
  "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";
const MODES = ["Persistent", "Ephemeral"];
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;
const GROUP_POLICIES = ["File", "None", "ReadWriteOnceWithFSType"];

/** Each audience once, with tokens that live neither too short nor too long. */
function validateTokens(requests: readonly TokenRequest[]): FieldError[] {
  const at = (index: number, name: string) => `spec.tokenRequests[${index}].${name}`;
  return requests.flatMap(({ audience, expirationSeconds: seconds }, index) => {
    const repeated = requests.slice(0, index).some((other) => other.audience === audience);
    if (repeated) return [fieldDuplicate(at(index, "audience"), audience)];
    if (seconds === undefined) return [];
    const path = at(index, "expirationSeconds");
    if (seconds < MIN_TOKEN_SECONDS) {
      return [fieldInvalid(path, seconds, "may not specify a duration less than 10 minutes")];
    }
    return seconds > MAX_TOKEN_SECONDS
      ? [fieldInvalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
      : [];
  });
}

function validateNew(driver: CSIDriver): FieldError[] {
  const tooLong = (driver.metadata?.name ?? "").length > MAX_NAME;
  return [...(tooLong ? [fieldTooLong("metadata.name", MAX_NAME)] : []), ...validate(driver)];
}

function validate({ spec }: CSIDriver): FieldError[] {
  const errors = validateTokens(spec?.tokenRequests ?? []);
  for (const mode of spec?.volumeLifecycleModes ?? []) {
    if (!MODES.includes(mode)) errors.push(fieldNotSupported("spec.volumeLifecycleModes", mode, MODES));
  }
  const policy = spec?.fsGroupPolicy ?? "";
  if (!GROUP_POLICIES.includes(policy)) errors.push(fieldNotSupported("spec.fsGroupPolicy", policy, GROUP_POLICIES));
  const seconds = spec?.nodeAllocatableUpdatePeriodSeconds;
  if (seconds !== undefined && seconds < MIN_UPDATE_SECONDS) {
    const detail = `must be greater than or equal to ${MIN_UPDATE_SECONDS} seconds`;
    errors.push(fieldInvalid("spec.nodeAllocatableUpdatePeriodSeconds", seconds, detail));
  }
  if (inSecrets(spec) !== undefined && !spec?.tokenRequests?.length) {
    const detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
    errors.push(fieldInvalid("spec.serviceAccountTokenInSecrets", inSecrets(spec), detail));
  }
  return errors;
}

/** The declarations that types are made from do not have the field. */
const inSecrets = (spec: CSIDriver["spec"] & { serviceAccountTokenInSecrets?: boolean }): boolean | undefined =>
  spec?.serviceAccountTokenInSecrets;

/** Tokens are safer among the secrets that a driver is handed than in the context of a volume. */
function warnings(driver: CSIDriver, old: CSIDriver | undefined): string[] {
  const requests = driver.spec?.tokenRequests ?? [];
  if (requests.length === 0 || inSecrets(driver.spec) !== undefined) return [];
  return old && sameValue(requests, old.spec?.tokenRequests) ? [] : [TOKENS_IN_SECRETS];
}

/** With the names that upstream tells them by. */
const IMMUTABLE = { attachRequired: "attachedRequired", volumeLifecycleModes: "volumeLifecycleModes" } as const;

export const csiDriverKind = defineKind<CSIDriver>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIDriver",
  resource: "csidrivers",
  namespaced: false,
  schemaName: "io.k8s.api.storage.v1.CSIDriver",
  returnDeletedObject: true,
  defaults(driver) {
    driver.spec ??= {};
    driver.spec.attachRequired ??= true;
    driver.spec.podInfoOnMount ??= false;
    driver.spec.storageCapacity ??= false;
    driver.spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    if (!driver.spec.volumeLifecycleModes?.length) driver.spec.volumeLifecycleModes = ["Persistent"];
    driver.spec.requiresRepublish ??= false;
    driver.spec.seLinuxMount ??= false;
  },
  validateCreate: validateNew,
  validateUpdate: (driver, old) => [
    ...validate(driver),
    ...Object.entries(IMMUTABLE).flatMap(([name, shown]) => {
      const key = name as keyof typeof IMMUTABLE;
      return validateImmutableField(driver.spec[key], old.spec[key], `spec.${shown}`);
    }),
  ],
  strategy: plainStrategy({
    prepareForUpdate: (driver, old) => setGeneration(driver, old, !sameValue(driver.spec, old.spec)),
    allowUnconditionalUpdate: false,
    warnings,
  }),
  columns: [
    NAME,
    column("AttachRequired", "Whether volumes are attached before they are mounted.", "boolean"),
    column("PodInfoOnMount", "Whether the driver is told of the pod.", "boolean"),
    column("StorageCapacity", "Whether it tells what room there is.", "boolean"),
    column("TokenRequests", "The audiences of tokens that it wants."),
    column("RequiresRepublish", "Whether it wants to be called again and again.", "boolean"),
    column("Modes", "The lives that its volumes may have."),
    AGE,
  ],
  row: (driver, context) => [
    nameOf(driver),
    driver.spec?.attachRequired ?? true,
    driver.spec?.podInfoOnMount ?? false,
    driver.spec?.storageCapacity ?? false,
    driver.spec?.tokenRequests?.map((request) => request.audience).join(",") ?? "<unset>",
    driver.spec?.requiresRepublish ?? false,
    (driver.spec?.volumeLifecycleModes ?? []).join(",") || "<none>",
    age(driver, context),
  ],
});
