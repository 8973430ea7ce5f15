// The paths that speak of the process itself: version, health, metrics, and the keys that verify its tokens. Health reads as upstream's:
// "ok", or with ?verbose one line a check.
import { HealthSlis, type HealthEndpoint } from "@coxswain/component-base/health-slis";
import type { PathAnswer, PathHandler, PathRequest } from "../rest/deps.ts";
import { resourceNotFound } from "../pipeline/not-served.ts";

export interface VersionInfo {
  readonly major: string;
  readonly minor: string;
  readonly gitVersion: string;
  readonly gitCommit: string;
  readonly gitTreeState: string;
  readonly buildDate: string;
  readonly goVersion: string;
  readonly compiler: string;
  readonly platform: string;
  readonly emulationMajor?: string;
  readonly emulationMinor?: string;
  readonly minCompatibilityMajor?: string;
  readonly minCompatibilityMinor?: string;
}

/** Undefined when fine, else what is wrong. */
export type Checks = Readonly<Record<string, () => string | undefined>>;

export interface ProcessPathDeps {
  readonly version: VersionInfo;
  readonly checks: () => Checks;
  /** True once the process has begun to stop: readyz then fails. */
  readonly shuttingDown: () => boolean;
  readonly metricsText: () => Promise<string>;
  readonly openIdConfiguration: () => object;
  readonly jwks: () => Promise<object>;
}

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const text = (code: number, body: string): PathAnswer => ({
  code,
  contentType: "text/plain; charset=utf-8",
  body: Buffer.from(body),
  headers: { "X-Content-Type-Options": "nosniff" },
});

const json = (document: object, contentType = "application/json"): PathAnswer => ({
  code: 200,
  contentType,
  body: Buffer.from(JSON.stringify(document, undefined, 2)),
});

/** Of the keys of tokens: who verifies many tokens need not ask for each. */
const keeping = (answer: PathAnswer): PathAnswer => ({
  ...answer,
  headers: { "Cache-Control": "public, max-age=3600" },
});

function checksFor(deps: ProcessPathDeps, probe: HealthEndpoint): Map<string, string | undefined> {
  const results = new Map<string, string | undefined>([["ping", undefined]]);
  for (const [name, check] of Object.entries(deps.checks())) {
    if (probe === "livez" && !name.startsWith("live-")) continue;
    results.set(name, check());
  }
  if (probe === "readyz") results.set("shutdown", deps.shuttingDown() ? "process is shutting down" : undefined);
  return results;
}

function health(
  deps: ProcessPathDeps,
  slis: HealthSlis,
  probe: HealthEndpoint,
  one: string | undefined,
  query: URLSearchParams,
): PathAnswer {
  const results = checksFor(deps, probe);
  for (const [name, problem] of results) {
    if (one === undefined || one === name) slis.observe(probe, name, problem === undefined);
  }
  if (one !== undefined) {
    if (!results.has(one)) throw resourceNotFound();
    const problem = results.get(one);
    return problem === undefined ? text(200, "ok") : text(500, `internal server error: ${problem}\n`);
  }
  const excluded = new Set(query.getAll("exclude"));
  const lines: string[] = [];
  let failed = false;
  for (const [name, problem] of results) {
    if (excluded.has(name)) lines.push(`[+]${name} excluded: ok`);
    else if (problem === undefined) lines.push(`[+]${name} ok`);
    else {
      failed = true;
      lines.push(`[-]${name} failed: reason withheld`);
    }
  }
  const unknown = [...excluded].filter((name) => !results.has(name));
  if (unknown.length > 0) {
    lines.push(
      `warn: some health checks cannot be excluded: no matches for ${unknown.map((name) => `"${name}"`).join(",")}`,
    );
  }
  if (failed) return text(500, `${lines.join("\n")}\n${probe} check failed\n`);
  return query.has("verbose") ? text(200, `${lines.join("\n")}\n${probe} check passed\n`) : text(200, "ok");
}

/** All that is answered, as it is now. */
export function processPaths(deps: ProcessPathDeps): string[] {
  const probes = (["healthz", "livez", "readyz"] as const).flatMap((probe) => [
    `/${probe}`,
    ...[...checksFor(deps, probe).keys()].map((check) => `/${probe}/${check}`),
  ]);
  return [...probes, "/version", "/metrics", "/metrics/slis", "/.well-known/openid-configuration", "/openid/v1/jwks"];
}

export function createProcessPaths(deps: ProcessPathDeps): PathHandler {
  const slis = new HealthSlis();
  return async ({ path, query }: PathRequest) => {
    const plain = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
    const probe = /^\/(healthz|livez|readyz)(?:\/(.+))?$/.exec(plain);
    if (probe !== null) return health(deps, slis, probe[1] as HealthEndpoint, probe[2], query);
    switch (plain) {
      case "/version":
        return json(deps.version);
      case "/metrics":
        return { ...text(200, await deps.metricsText()), contentType: METRICS_TYPE };
      case "/metrics/slis":
        return { ...text(200, await slis.text()), contentType: METRICS_TYPE };
      case "/.well-known/openid-configuration":
        return keeping(json(deps.openIdConfiguration()));
      case "/openid/v1/jwks":
        return keeping(json(await deps.jwks(), "application/jwk-set+json"));
      default:
        return undefined;
    }
  };
}
