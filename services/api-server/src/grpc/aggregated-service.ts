// coxswain.api.v1.Aggregated: requests about what another api-server serves, for components, who speak gRPC. Guarantees: the
// caller needs the rights that the same request over REST needs; only what an APIService sends elsewhere is asked this way.
import { isJsonObject, jsonOrNothing, newBadRequest, newServiceUnavailable, StatusError } from "@coxswain/apimachinery";
import type { GrpcService, UserInfo } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import type { AggregatedApis } from "../aggregation/aggregator.ts";
import type { Authorizer } from "../pipeline/contract.ts";
import { attributesOf, authorize, authorizePath } from "../rest/handler.ts";
import { resourceNotFound } from "../pipeline/not-served.ts";
import { parseRequest } from "../rest/request-info.ts";

/** The Status of an answer that is none of success. */
function failure(code: number, body: Buffer): StatusError {
  const status = jsonOrNothing(body.toString("utf8"));
  if (isJsonObject(status) && status["kind"] === "Status") return StatusError.fromStatus(status);
  return newServiceUnavailable(`the server answered ${code}: ${body.toString("utf8").trim().slice(0, 300)}`);
}

/** The group and version that the path is about, for a user who may ask for that. Rejects with StatusError. */
async function versionOf(
  method: string,
  path: string,
  user: UserInfo,
  { aggregated, authorizer }: AggregatedServiceDeps,
): Promise<{ readonly group: string; readonly version: string }> {
  if (!path.startsWith("/apis/")) throw newBadRequest("path: must begin with /apis/");
  const info = parseRequest(method, path);
  if (info.type !== "resource") {
    const [, group = "", version = ""] = /^\/apis\/([^/?]+)\/([^/?]+)$/.exec(path) ?? [];
    if (method !== "GET" || version === "") throw newBadRequest("path: must name a resource");
    if (aggregated?.handles(group, version) !== true) throw resourceNotFound();
    await authorizePath({ authorizer }, user, info);
    return { group, version };
  }
  if (info.verb === "watch") throw newBadRequest("path: a watch has no single answer");
  const { group, version } = info;
  if (aggregated?.handles(group, version) !== true) throw resourceNotFound();
  await authorize({ authorizer }, attributesOf(user, info));
  return { group, version };
}

interface AggregatedServiceDeps {
  readonly aggregated: AggregatedApis | undefined;
  readonly authorizer: Authorizer;
}

/** Without `aggregated` nobody else serves anything. */
export function createAggregatedService(aggregated: AggregatedApis | undefined, authorizer: Authorizer): GrpcService {
  const deps = { aggregated, authorizer };
  const ask = async (
    method: string,
    path: string,
    more: object,
    { user, signal }: Asker,
  ): Promise<{ json: Buffer }> => {
    const { group, version } = await versionOf(method, path, user, deps);
    const { code, body } = await aggregated!.fetch(group, version, { path, user, signal, ...more });
    if (code < 200 || code > 299) throw failure(code, body);
    return { json: body };
  };
  return implementService("coxswain.api.v1.Aggregated", {
    read: ({ path }, asker) => ask("GET", path, {}, asker),
    write: async ({ method, path, json }, asker) => {
      if (method !== "PATCH" && method !== "DELETE") throw newBadRequest("method: must be PATCH or DELETE");
      const contentType = method === "PATCH" ? "application/merge-patch+json" : "application/json";
      return ask(method, path, { write: { method, contentType, body: json } }, asker);
    },
  });
}

interface Asker {
  readonly user: UserInfo;
  readonly signal: AbortSignal;
}
