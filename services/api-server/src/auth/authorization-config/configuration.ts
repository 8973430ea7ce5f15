// The AuthorizationConfiguration of --authorization-config: who decides what users may do, in which order. Every mistake in the
// file is told with its path. Reads nothing but whether the kubeconfigs that it names are there.
// https://kubernetes.io/docs/reference/access-authn-authz/authorization/#using-configuration-file-for-authorization
import { statSync } from "node:fs";
import { isAbsolute } from "node:path";
import {
  aggregateText,
  childPath,
  fieldDuplicate,
  fieldErrorsText,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  GoDurationError,
  indexPath,
  isJsonObject,
  parseGoDuration,
  validateDns1123Subdomain,
  type FieldError,
} from "@coxswain/apimachinery";
import { parse as parseYaml } from "yaml";
import { compileCondition } from "./match-conditions.ts";
import type { AuthorizerSettings, BuiltInType, WebhookSettings } from "./types.ts";

export class AuthorizationConfigError extends Error {
  override readonly name = "AuthorizationConfigError";
}

const GROUP = "apiserver.config.k8s.io";
const KIND = "AuthorizationConfiguration";
const VERSIONS = ["v1", "v1beta1", "v1alpha1"].map((version) => `${GROUP}/${version}`);
/** Sorted, as errors list them. */
const TYPES = ["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const MAX_CONDITIONS = 64;
const MAX_TIMEOUT_MS = 30_000;
const AUTHORIZED_TTL_MS = 300_000;
const UNAUTHORIZED_TTL_MS = 30_000;

type Raw = Readonly<Record<string, unknown>>;

/** `required`: types that must be there, as they were when the process started. @throws AuthorizationConfigError */
export function parseAuthorizationConfiguration(
  text: string,
  required: readonly string[] = [],
): readonly AuthorizerSettings[] {
  const reader = new Reader();
  const settings = reader.authorizers(load(text));
  const undecodable = [...reader.malformed, ...(reader.unknown.length === 0 ? [] : [strict(reader.unknown)])];
  if (undecodable.length > 0) throw notLoaded(undecodable.join(", "));
  if (reader.errors.length > 0) throw new AuthorizationConfigError(fieldErrorsText(reader.errors));
  const wrong = settings.flatMap(({ type, name }) => {
    const expected = type.toLowerCase();
    if (type === "Webhook" || name === expected) return [];
    return [`expected name ${expected} for authorizer ${type} instead of ${name}`];
  });
  const missing = required.filter((type) => !settings.some((one) => one.type === type));
  if (missing.length > 0) wrong.push(`missing required types: [${missing.toSorted().join(" ")}]`);
  if (wrong.length > 0) throw new AuthorizationConfigError(aggregateText(wrong));
  return settings;
}

const strict = (fields: readonly string[]): string => `strict decoding error: ${fields.join(", ")}`;

function notLoaded(why: string): AuthorizationConfigError {
  return new AuthorizationConfigError(`failed to load ${KIND} from file: ${why}`);
}

/** An empty file says nothing. */
function load(text: string): Raw {
  if (text === "") return {};
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    throw notLoaded((error as Error).message);
  }
  if (!isJsonObject(parsed)) throw notLoaded("it is no object");
  const { apiVersion, kind } = parsed;
  if (typeof kind !== "string" || kind === "") throw notLoaded("Object 'Kind' is missing");
  if (typeof apiVersion !== "string" || apiVersion === "") throw notLoaded("Object 'apiVersion' is missing");
  if (!VERSIONS.includes(apiVersion) || kind !== KIND) {
    throw notLoaded(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  }
  return parsed;
}

class Reader {
  readonly errors: FieldError[] = [];
  /** Fields of no known name. */
  readonly unknown: string[] = [];
  /** Values of the wrong JSON type. */
  readonly malformed: string[] = [];

  authorizers(config: Raw): AuthorizerSettings[] {
    this.#known(config, ["apiVersion", "kind", "authorizers"], "");
    const list = this.#list(config["authorizers"], "authorizers");
    if (list.length === 0) {
      this.errors.push(fieldRequired("authorizers", "at least one authorization mode must be defined"));
    }
    const types = new Set<string>();
    const names = new Set<string>();
    return list.flatMap((raw, index) => {
      const path = indexPath("authorizers", index);
      this.#known(raw, ["type", "name", "webhook"], path);
      const type = this.#text(raw, "type", path);
      if (!this.#type(type, types, childPath(path, "type"))) return [];
      const name = this.#name(this.#text(raw, "name", path), names, childPath(path, "name"));
      return this.#authorizer(type, name, raw, path);
    });
  }

  #type(type: string, seen: Set<string>, path: string): boolean {
    if (type === "") this.errors.push(fieldRequired(path));
    else if (!TYPES.includes(type)) this.errors.push(fieldNotSupported(path, type, TYPES));
    else if (seen.has(type) && type !== "Webhook") this.errors.push(fieldDuplicate(path, type));
    else {
      seen.add(type);
      return true;
    }
    return false;
  }

  #name(name: string, seen: Set<string>, path: string): string {
    const wrong = validateDns1123Subdomain(name);
    if (name === "") this.errors.push(fieldRequired(path));
    else if (seen.has(name)) this.errors.push(fieldDuplicate(path, name));
    else if (wrong.length > 0) {
      this.errors.push(fieldInvalid(path, name, `authorizer name is invalid: ${wrong.join(", ")}`));
    }
    seen.add(name);
    return name;
  }

  #authorizer(type: string, name: string, raw: Raw, path: string): AuthorizerSettings[] {
    const at = childPath(path, "webhook");
    const given = raw["webhook"] ?? undefined;
    if (type === "Webhook") {
      if (given === undefined) {
        this.errors.push(fieldRequired(at, "required when type=Webhook"));
        return [];
      }
      return [{ type, name, webhook: this.#webhook(this.#object(given, at), path) }];
    }
    if (given !== undefined) {
      this.errors.push(fieldInvalid(at, "non-null", "may only be specified when type=Webhook"));
    }
    if (type === "ABAC") {
      this.errors.push(fieldInvalid(childPath(path, "type"), type, "ABAC is not supported"));
      return [];
    }
    return [{ type: type as BuiltInType, name }];
  }

  /** `path` is that of the authorizer: upstream leaves the member `webhook` out of what it tells. */
  #webhook(raw: Raw, path: string): WebhookSettings {
    const at = (name: string): string => childPath(path, name);
    const names = [
      "authorizedTTL",
      "cacheAuthorizedRequests",
      "unauthorizedTTL",
      "cacheUnauthorizedRequests",
      "timeout",
      "subjectAccessReviewVersion",
      "matchConditionSubjectAccessReviewVersion",
      "failurePolicy",
      "connectionInfo",
      "matchConditions",
    ];
    this.#known(raw, names, childPath(path, "webhook"));
    const timeoutMs = this.#duration(raw, "timeout", path);
    if (timeoutMs === 0) this.errors.push(fieldRequired(at("timeout")));
    else if (timeoutMs < 0 || timeoutMs > MAX_TIMEOUT_MS) {
      this.errors.push(fieldInvalid(at("timeout"), raw["timeout"], "must be > 0s and <= 30s"));
    }
    const ttl = (name: string, fallbackMs: number): number => {
      const ms = this.#duration(raw, name, path) || fallbackMs;
      if (ms < 0) this.errors.push(fieldInvalid(at(name), raw[name], "must be > 0s"));
      return ms;
    };
    const authorizedTtlMs = ttl("authorizedTTL", AUTHORIZED_TTL_MS);
    const unauthorizedTtlMs = ttl("unauthorizedTTL", UNAUTHORIZED_TTL_MS);
    const reviewVersion = this.#oneOf(raw, "subjectAccessReviewVersion", ["v1", "v1beta1"], path);
    const list = this.#list(raw["matchConditions"], at("matchConditions"));
    if (list.length > 0 || this.#text(raw, "matchConditionSubjectAccessReviewVersion", path) !== "") {
      const detail = "required if match conditions are specified";
      this.#oneOf(raw, "matchConditionSubjectAccessReviewVersion", ["v1"], path, detail);
    }
    const failurePolicy = this.#oneOf(raw, "failurePolicy", ["NoOpinion", "Deny"], path);
    const kubeconfigFile = this.#connection(
      this.#object(raw["connectionInfo"], at("connectionInfo")),
      at("connectionInfo"),
    );
    return {
      authorizedTtlMs: this.#flag(raw, "cacheAuthorizedRequests", path) ? authorizedTtlMs : 0,
      unauthorizedTtlMs: this.#flag(raw, "cacheUnauthorizedRequests", path) ? unauthorizedTtlMs : 0,
      timeoutMs,
      reviewVersion: reviewVersion as WebhookSettings["reviewVersion"],
      failurePolicy: failurePolicy as WebhookSettings["failurePolicy"],
      kubeconfigFile,
      conditions: this.#conditions(list, at("matchConditions")),
    };
  }

  #connection(raw: Raw, path: string): string {
    this.#known(raw, ["type", "kubeConfigFile"], path);
    const [at, where] = [childPath(path, "kubeConfigFile"), childPath(path, "type")];
    const type = this.#text(raw, "type", path);
    const file = this.#text(raw, "kubeConfigFile", path);
    if (type === "") this.errors.push(fieldRequired(where));
    else if (type === "InClusterConfig") {
      if (file !== "") this.errors.push(fieldInvalid(at, file, "can only be set when type=KubeConfigFile"));
      this.errors.push(fieldInvalid(where, type, "is not allowed for the api-server itself"));
    } else if (type !== "KubeConfigFile") {
      this.errors.push(fieldNotSupported(where, type, ["InClusterConfig", "KubeConfigFile"]));
    } else if (file === "") this.errors.push(fieldRequired(at));
    else if (!isAbsolute(file)) this.errors.push(fieldInvalid(at, file, "must be an absolute path"));
    else {
      const problem = fileProblem(file);
      if (problem !== undefined) this.errors.push(fieldInvalid(at, file, problem));
    }
    return file;
  }

  #conditions(list: readonly Raw[], path: string): string[] {
    if (list.length > MAX_CONDITIONS) {
      this.errors.push(fieldTooMany(path, list.length, MAX_CONDITIONS));
      return [];
    }
    const seen: string[] = [];
    for (const [index, raw] of list.entries()) {
      const here = indexPath(path, index);
      const at = childPath(here, "expression");
      this.#known(raw, ["expression"], here);
      const expression = this.#text(raw, "expression", here);
      if (expression.trim() === "") this.errors.push(fieldRequired(at));
      else if (seen.includes(expression)) this.errors.push(fieldDuplicate(at, expression));
      else {
        seen.push(expression);
        const program = compileCondition(expression);
        if (typeof program === "string") this.errors.push(fieldInvalid(at, expression, program));
      }
    }
    return seen;
  }

  #oneOf(raw: Raw, name: string, values: readonly string[], path: string, missing = ""): string {
    const value = this.#text(raw, name, path);
    if (value === "") this.errors.push(fieldRequired(childPath(path, name), missing));
    else if (!values.includes(value)) this.errors.push(fieldNotSupported(childPath(path, name), value, values));
    return value;
  }

  #known(raw: Raw, names: readonly string[], path: string): void {
    for (const name of Object.keys(raw)) {
      if (!names.includes(name)) this.unknown.push(`unknown field ${JSON.stringify(childPath(path, name))}`);
    }
  }

  #wrong(path: string, wanted: string): void {
    this.malformed.push(`${path}: must be ${wanted}`);
  }

  /** "" where it is not there. */
  #text(raw: Raw, name: string, path: string): string {
    const value = raw[name] ?? "";
    if (typeof value === "string") return value;
    this.#wrong(childPath(path, name), "a string");
    return "";
  }

  /** True where it is not there. */
  #flag(raw: Raw, name: string, path: string): boolean {
    const value = raw[name] ?? true;
    if (typeof value === "boolean") return value;
    this.#wrong(childPath(path, name), "a boolean");
    return true;
  }

  /** In ms; 0 where it is not there. */
  #duration(raw: Raw, name: string, path: string): number {
    const text = this.#text(raw, name, path);
    if (text === "") return 0;
    try {
      return parseGoDuration(text);
    } catch (error) {
      if (!(error instanceof GoDurationError)) throw error;
      this.malformed.push(error.message);
      return 0;
    }
  }

  #object(value: unknown, path: string): Raw {
    if (value === undefined || value === null) return {};
    if (isJsonObject(value)) return value;
    this.#wrong(path, "an object");
    return {};
  }

  #list(value: unknown, path: string): Raw[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((one, index) => this.#object(one, indexPath(path, index)));
    this.#wrong(path, "a list");
    return [];
  }
}

function fileProblem(file: string): string | undefined {
  try {
    return statSync(file).isFile() ? undefined : "must be a regular file";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? `stat ${file}: no such file or directory` : message;
    return `error loading file: ${why}`;
  }
}
