// coxswain.api.v1.Aggregated: a GET of what another api-server serves, for components, who speak gRPC. Guarantees: the caller
// needs the rights that the same GET over REST needs; only what an APIService sends elsewhere is read this way.
import { newBadRequest, newServiceUnavailable, StatusError, type Status } from "@coxswain/apimachinery";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import type { AggregatedApis } from "../aggregation/aggregator.ts";
import type { Authorizer } from "../pipeline/contract.ts";
import { attributesOf, authorize } from "../rest/handler.ts";
import { parseRequest, resourceNotFound } from "../rest/request-info.ts";

/** The Status of an answer that is none of success. */
function failure(code: number, body: Buffer): StatusError {
  try {
    const status = JSON.parse(body.toString("utf8")) as Status;
    if (status.kind === "Status") return StatusError.fromStatus(status);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return newServiceUnavailable(`the server answered ${code}: ${body.toString("utf8").trim().slice(0, 300)}`);
}

/** Without `aggregated` nobody else serves anything. */
export function createAggregatedService(aggregated: AggregatedApis | undefined, authorizer: Authorizer): GrpcService {
  return implementService("coxswain.api.v1.Aggregated", {
    read: async ({ path }, { user, signal }) => {
      if (!path.startsWith("/apis/")) throw newBadRequest("path: must begin with /apis/");
      const info = parseRequest("GET", path);
      if (info.type !== "resource") throw newBadRequest("path: must name a resource");
      if (info.verb === "watch") throw newBadRequest("path: a watch has no single answer");
      const { group, version } = info;
      if (aggregated?.handles(group, version) !== true) throw resourceNotFound();
      authorize({ authorizer }, attributesOf(user, info));
      const { code, body } = await aggregated.fetch(group, version, { path, user, signal });
      if (code < 200 || code > 299) throw failure(code, body);
      return { json: body };
    },
  });
}
