// The EncryptionConfiguration of --encryption-provider-config: which resources lie encrypted in storage, and with which keys.
// Pure. Every mistake in the file is told with its path and without the secret.
// https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/
import { fieldErrorText, fieldInvalid, fieldRequired, isJsonObject, type FieldError } from "@coxswain/apimachinery";
import { parse as parseYaml } from "yaml";

export type Cipher = "aesgcm" | "aescbc" | "secretbox";

export interface EncryptionKey {
  readonly name: string;
  readonly secret: Buffer;
}

export type Provider =
  | { readonly cipher: Cipher; readonly keys: readonly EncryptionKey[] }
  | { readonly cipher: "identity"; readonly keys: readonly [] };

export interface EncryptionRule {
  /** As in "secrets", "widgets.example.com", "*.apps", "*." (the core group) and "*.*". */
  readonly resources: readonly string[];
  /** The first one writes; all of them read. */
  readonly providers: readonly Provider[];
}

const AES_BYTES = [16, 24, 32];
const KEY_BYTES: Readonly<Record<Cipher, readonly number[]>> = {
  aesgcm: AES_BYTES,
  aescbc: AES_BYTES,
  secretbox: [32],
};
const PROVIDERS = ["kms", "aesgcm", "aescbc", "secretbox", "identity"] as const;
const NO_API = new Set(["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"]);
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export class EncryptionConfigError extends Error {
  override readonly name = "EncryptionConfigError";
}

/** @throws EncryptionConfigError with all that is wrong with the text (YAML or JSON) */
export function parseEncryptionConfiguration(text: string): EncryptionRule[] {
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    throw new EncryptionConfigError(`error decoding encryption provider configuration: ${(error as Error).message}`);
  }
  if (!isJsonObject(parsed)) throw new EncryptionConfigError("encryption provider configuration: not an object");
  const { kind, apiVersion } = parsed;
  if (kind !== "EncryptionConfiguration" || (apiVersion !== "apiserver.config.k8s.io/v1" && apiVersion !== "v1")) {
    const got = `${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`;
    throw new EncryptionConfigError(
      `encryption provider configuration: no kind ${got}; use EncryptionConfiguration of apiserver.config.k8s.io/v1`,
    );
  }
  const errors: FieldError[] = [];
  const rules = readRules(parsed["resources"], errors);
  if (errors.length > 0) throw new EncryptionConfigError(errors.map(fieldErrorText).join(", "));
  return rules;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function readRules(value: unknown, errors: FieldError[]): EncryptionRule[] {
  if (listOf(value).length === 0) errors.push(fieldRequired("resources", "at least one resources is required"));
  return listOf(value).map((item, index) => {
    const at = `resources[${index}]`;
    const { resources, providers } = isJsonObject(item) ? item : {};
    const names = listOf(resources).map(String);
    for (const [what, list] of [["resources", names] as const, ["providers", listOf(providers)] as const]) {
      if (list.length === 0) errors.push(fieldRequired(`${at}.${what}`, `at least one ${at}.${what} is required`));
    }
    errors.push(...overlaps(names, `${at}.resources`), ...nameErrors(names, `${at}.resources`));
    const read = listOf(providers).map((one, place) => readProvider(one, `${at}.providers[${place}]`, errors));
    return { resources: names, providers: read.filter((one) => one !== undefined) };
  });
}

/** "secrets" is of the core group, whose name is empty. */
export function splitResource(name: string): { readonly resource: string; readonly group: string } {
  const dot = name.indexOf(".");
  return dot < 0 ? { resource: name, group: "" } : { resource: name.slice(0, dot), group: name.slice(dot + 1) };
}

function overlaps(names: readonly string[], at: string): FieldError[] {
  const parsed = names.map(splitResource);
  const pairs = parsed.flatMap((a, i) => parsed.slice(i + 1).map((b) => [a, b] as const));
  const same = pairs.some(([a, b]) => a.group === b.group && a.resource === b.resource);
  const masks = pairs.some(
    ([a, b]) =>
      !(a.group === b.group && a.resource === b.resource) &&
      ([a, b].some((one) => one.group === "*" && one.resource === "*") ||
        (a.group === b.group && [a, b].some((one) => one.resource === "*"))),
  );
  const masked =
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
  return [
    ...(same ? [fieldInvalid(at, names, "the same resource cannot be specified multiple times")] : []),
    ...(masks ? [fieldInvalid(at, names, masked)] : []),
  ];
}

function nameErrors(names: readonly string[], at: string): FieldError[] {
  return names.flatMap((name, index) => {
    const problem = nameProblem(name);
    return problem === undefined ? [] : [fieldInvalid(`${at}[${index}]`, name, problem)];
  });
}

function nameProblem(name: string): string | undefined {
  if (name.toLowerCase() !== name) return "resource name should not contain capital letters";
  if (name === "*") {
    return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources";
  }
  if (NO_API.has(name)) return "resources which do not have REST API/s cannot be encrypted";
  const { resource, group } = splitResource(name);
  if (group === "events.k8s.io") {
    return "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file";
  }
  if (group === "extensions") return "'extensions' group has been removed and cannot be used for encryption";
  if (group === "*" && resource !== "*") return "encrypting the same resource across groups is not supported";
  return undefined;
}

function readProvider(value: unknown, at: string, errors: FieldError[]): Provider | undefined {
  const given = isJsonObject(value) ? value : {};
  const named = PROVIDERS.filter((name) => given[name] !== undefined && given[name] !== null);
  const [name] = named;
  if (name === undefined || named.length > 1) {
    const problem =
      name === undefined
        ? "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
        : "more than one provider specified in a single element, should split into different list elements";
    errors.push(fieldInvalid(at, "REDACTED", problem));
    return undefined;
  }
  if (name === "identity") return { cipher: "identity", keys: [] };
  if (name === "kms") {
    errors.push(
      fieldInvalid(
        `${at}.kms`,
        "REDACTED",
        "key management services are not supported: use aesgcm, aescbc or secretbox",
      ),
    );
    return undefined;
  }
  const { keys } = given[name] as { keys?: unknown };
  if (listOf(keys).length === 0) errors.push(fieldRequired(`${at}.${name}.keys`, "at least one keys is required"));
  const read = listOf(keys).map((key, index) => readKey(key, `${at}.${name}.keys[${index}]`, KEY_BYTES[name], errors));
  return { cipher: name, keys: read.filter((key) => key !== undefined) };
}

function readKey(
  value: unknown,
  at: string,
  lengths: readonly number[],
  errors: FieldError[],
): EncryptionKey | undefined {
  const { name = "", secret = "" } = (isJsonObject(value) ? value : {}) as { name?: unknown; secret?: unknown };
  const missing = (field: string): void => {
    errors.push(fieldRequired(`${at}.${field}`, `${field} is a mandatory field for a key`));
  };
  if (name === "" || typeof name !== "string") missing("name");
  if (secret === "" || typeof secret !== "string") {
    missing("secret");
    return undefined;
  }
  const bytes = Buffer.from(secret, "base64");
  if (!BASE64.test(secret)) {
    errors.push(fieldInvalid(`${at}.secret`, "REDACTED", "secrets must be base64 encoded"));
    return undefined;
  }
  if (!lengths.includes(bytes.length)) {
    const problem = `secret is not of the expected length, got ${bytes.length}, expected one of [${lengths.join(" ")}]`;
    errors.push(fieldInvalid(`${at}.secret`, "REDACTED", problem));
  }
  return { name: String(name), secret: bytes };
}
