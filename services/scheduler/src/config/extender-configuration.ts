// The extenders of a KubeSchedulerConfiguration. Pure.
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  GoDurationError,
  indexPath,
  parseGoDuration,
} from "@coxswain/apimachinery";
import type { ExtenderConfiguration, ExtenderTls } from "../extenders/extender.ts";
import { above, type ConfigReader } from "./config-reader.ts";

const DEFAULT_TIMEOUT_MS = 5_000;
const KNOWN = [
  "urlPrefix",
  "filterVerb",
  "preemptVerb",
  "prioritizeVerb",
  "weight",
  "bindVerb",
  "enableHTTPS",
  "tlsConfig",
  "httpTimeout",
  "nodeCacheCapable",
  "managedResources",
  "ignorable",
];
const FILES = ["certFile", "keyFile", "caFile"] as const;
const DATA = ["certData", "keyData", "caData"] as const;

export interface ReadExtender {
  readonly extender: ExtenderConfiguration;
  /** Managed resources that NodeResourcesFit must not look at. */
  readonly ignoredResources: readonly string[];
}

/** As Go writes durations; undefined where the text is none. */
function durationMs(text: string): number | undefined {
  try {
    return parseGoDuration(text);
  } catch (error) {
    if (error instanceof GoDurationError) return undefined;
    throw error;
  }
}

function readTls(reader: ConfigReader, value: unknown, path: string): ExtenderTls | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = reader.object(value, path, ["insecure", "serverName", ...FILES, ...DATA]);
  const text = (name: string): string | undefined => reader.text(fields[name], childPath(path, name)) || undefined;
  const decoded = (name: string): string | undefined => {
    const data = text(name);
    return data === undefined ? undefined : Buffer.from(data, "base64").toString("utf8");
  };
  return {
    insecure: reader.flag(fields["insecure"], childPath(path, "insecure")) === true,
    serverName: text("serverName"),
    certFile: text("certFile"),
    keyFile: text("keyFile"),
    caFile: text("caFile"),
    certData: decoded("certData"),
    keyData: decoded("keyData"),
    caData: decoded("caData"),
  };
}

function readExtender(reader: ConfigReader, item: unknown, path: string): ReadExtender {
  const fields = reader.object(item, path, KNOWN);
  const at = (name: string): string => childPath(path, name);
  const text = (name: string): string => reader.text(fields[name], at(name)) ?? "";
  const flag = (name: string): boolean => reader.flag(fields[name], at(name)) === true;
  const urlPrefix = text("urlPrefix");
  if (urlPrefix === "") reader.errors.push(fieldRequired(at("urlPrefix")));
  else if (!URL.canParse(urlPrefix)) reader.errors.push(fieldInvalid(at("urlPrefix"), urlPrefix, "must be a URL"));
  const prioritizeVerb = text("prioritizeVerb");
  const weight = reader.integer(fields["weight"], at("weight"), above(-1, "must be at least 0")) ?? 0;
  if (prioritizeVerb !== "" && weight === 0) {
    reader.errors.push(fieldInvalid(at("weight"), weight, "must have a positive weight applied to it"));
  }
  const timeout = text("httpTimeout");
  const httpTimeoutMs = durationMs(timeout === "" ? "0" : timeout);
  if (httpTimeoutMs === undefined) reader.errors.push(fieldInvalid(at("httpTimeout"), timeout, "must be a duration"));
  const managed = reader.list(fields["managedResources"], at("managedResources"), (one, where) => {
    const resource = reader.object(one, where, ["name", "ignoredByScheduler"]);
    const name = reader.text(resource["name"], childPath(where, "name")) ?? "";
    if (name === "") reader.errors.push(fieldRequired(childPath(where, "name")));
    return {
      name,
      ignored: reader.flag(resource["ignoredByScheduler"], childPath(where, "ignoredByScheduler")) === true,
    };
  });
  return {
    extender: {
      urlPrefix,
      filterVerb: text("filterVerb"),
      prioritizeVerb,
      preemptVerb: text("preemptVerb"),
      bindVerb: text("bindVerb"),
      weight,
      enableHTTPS: flag("enableHTTPS"),
      tls: readTls(reader, fields["tlsConfig"], at("tlsConfig")),
      httpTimeoutMs: httpTimeoutMs || DEFAULT_TIMEOUT_MS,
      nodeCacheCapable: flag("nodeCacheCapable"),
      managedResources: managed.map(({ name }) => name),
      ignorable: flag("ignorable"),
    },
    ignoredResources: managed.filter(({ ignored }) => ignored).map(({ name }) => name),
  };
}

/** All of them; two must not manage one resource, nor two bind. */
export function readExtenders(reader: ConfigReader, value: unknown, path: string): ReadExtender[] {
  const all = reader.list(value, path, (item, at) => readExtender(reader, item, at));
  const binders = all.filter(({ extender }) => extender.bindVerb !== "").length;
  if (binders > 1) {
    reader.errors.push(
      fieldInvalid(path, `found ${binders} extenders implementing bind`, "only one extender can implement bind"),
    );
  }
  const seen = new Set<string>();
  for (const [index, { extender }] of all.entries()) {
    for (const name of extender.managedResources) {
      if (seen.has(name))
        reader.errors.push(fieldDuplicate(childPath(indexPath(path, index), "managedResources"), name));
      seen.add(name);
    }
  }
  return all;
}
