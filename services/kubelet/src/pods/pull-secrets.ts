// Who a pod's images are pulled as: the credentials in its imagePullSecrets that are for the registry of an image. Pure.
// https://kubernetes.io/docs/concepts/containers/images/#config-json
import { createHash } from "node:crypto";
import type { Secret } from "@coxswain/api";
import { isJsonObject, jsonOrNothing } from "@coxswain/apimachinery";
import type { RegistryAuth } from "../cri/contract.ts";
import { parseImageName } from "../cri/image-name.ts";
import type { PullSecret } from "../images/pull-records.ts";

/** Credentials, and the Secret that they are from. */
export interface TrackedAuth {
  readonly auth: RegistryAuth;
  readonly secret: PullSecret;
}

/** What a Docker configuration has for one registry, or for a part of it. */
interface Entry {
  readonly username?: string;
  readonly password?: string;
  /** "username:password" in base64; wins. */
  readonly auth?: string;
}

const DOCKER_HUB = "index.docker.io";

/** The credentials for the image, the most specific first; empty: it is pulled as nobody. */
export function credentialsFor(image: string, secrets: readonly Secret[]): TrackedAuth[] {
  const name = parseImageName(image);
  if (name === undefined) return [];
  const byPlace = new Map<string, TrackedAuth[]>();
  for (const secret of secrets) {
    for (const [location, entry] of entriesOf(secret)) {
      const place = placeOf(location);
      const auth = authOf(entry);
      if (place === undefined || auth === undefined) continue;
      byPlace.set(place, [...(byPlace.get(place) ?? []), { auth, secret: tracked(secret, auth) }]);
    }
  }
  const places = [...byPlace.keys()].toSorted().toReversed();
  const found = places.filter((place) => covers(place, name.repository)).flatMap((place) => byPlace.get(place) ?? []);
  return found.length === 0 && name.registry === "docker.io" ? (byPlace.get(DOCKER_HUB) ?? []) : found;
}

function tracked({ metadata = {} }: Secret, auth: RegistryAuth): PullSecret {
  const { uid = "", namespace = "", name = "" } = metadata;
  const credentialHash = createHash("sha256").update(JSON.stringify(auth)).digest("hex");
  return { uid, namespace, name, credentialHash };
}

function entriesOf({ type, data = {} }: Secret): [string, Entry][] {
  const config = type === "kubernetes.io/dockerconfigjson" ? parsed(data[".dockerconfigjson"]) : undefined;
  const entries = type === "kubernetes.io/dockercfg" ? parsed(data[".dockercfg"]) : config?.["auths"];
  return typeof entries === "object" && entries !== null ? Object.entries(entries) : [];
}

/** Undefined where it is missing or says nothing that can be read: the image is then pulled without it. */
function parsed(base64: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (base64 === undefined) return undefined;
  const value = jsonOrNothing(Buffer.from(base64, "base64").toString("utf8"));
  return isJsonObject(value) ? value : undefined;
}

function authOf({ username = "", password = "", auth }: Entry): RegistryAuth | undefined {
  if (auth === undefined || auth === "") return { username, password };
  const text = Buffer.from(auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** "https://index.docker.io/v1/" is "index.docker.io/v1/"... and, as Docker reads it, all of that host. */
function placeOf(location: string): string | undefined {
  const url = /^https?:\/\//.test(location) ? location : `https://${location}`;
  const [, host, path = ""] = /^https?:\/\/([^/?#]+)([^?#]*)/.exec(url) ?? [];
  if (host === undefined) return undefined;
  const rest = /^\/v[12]\//.test(path) ? path.slice(3) : path;
  return rest === "" || rest === "/" ? host : `${host}${rest}`;
}

/** Whether the place, whose host may have wildcards, is that of the repository or one above it. */
function covers(place: string, repository: string): boolean {
  const [host, path] = split(place);
  const [wantedHost, wantedPath] = split(repository);
  if (!wantedPath.startsWith(path)) return false;
  const [names, port] = hostParts(host);
  const [wantedNames, wantedPort] = hostParts(wantedHost);
  if (port !== wantedPort || names.length !== wantedNames.length) return false;
  return names.every((name, at) => matches(name, wantedNames[at] ?? ""));
}

function split(place: string): [host: string, path: string] {
  const slash = place.indexOf("/");
  return slash < 0 ? [place, ""] : [place.slice(0, slash), place.slice(slash)];
}

function hostParts(host: string): [names: string[], port: string] {
  const colon = host.lastIndexOf(":");
  return colon < 0 ? [host.split("."), ""] : [host.slice(0, colon).split("."), host.slice(colon + 1)];
}

/** Wildcards of file names: *, ? and [a-z]. */
function matches(pattern: string, text: string): boolean {
  const source = pattern
    .replaceAll(/[$()+.^{|}\\]/g, String.raw`\$&`)
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  try {
    return new RegExp(`^(?:${source})$`).test(text);
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}
