// A request of the REST front as the pipeline takes it. Its signal is made when it is asked for, by a getter that all requests
// share: one of its own would give each request a shape of its own, which V8 keeps, and with it all that the getter sees, until
// the next full collection.
import type { ApiRequest } from "../pipeline/contract.ts";
import type { RestCall } from "./deps.ts";
import { readOptions, type ResourceInfo } from "./request-info.ts";

const DELETIONS: ReadonlySet<ApiRequest["verb"]> = new Set(["delete", "deletecollection"]);

/** What a deletion whose body says how to delete takes from the query: nothing about that. */
function beside(query: URLSearchParams): ApiRequest["options"] {
  const options = readOptions(query);
  const { dryRun: _dryRun, gracePeriodSeconds: _grace, propagationPolicy: _policy, ...rest } = options;
  const { orphanDependents: _orphan, ...selection } = rest;
  return selection;
}

export class RestRequest implements ApiRequest {
  readonly user: ApiRequest["user"];
  readonly verb: ApiRequest["verb"];
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly body: Buffer | undefined;
  readonly contentType: string | undefined;
  readonly options: ApiRequest["options"];
  readonly userAgent: string | undefined;
  readonly annotate: ApiRequest["annotate"];
  readonly warnings: string[] = [];
  readonly #call: RestCall;

  constructor(info: ResourceInfo, call: RestCall, body?: Buffer, contentType?: string) {
    const { audit } = call;
    this.user = call.user;
    this.verb = info.verb;
    this.group = info.group;
    this.version = info.version;
    this.resource = info.resource;
    this.subresource = info.subresource;
    this.namespace = info.namespace;
    this.name = info.name;
    this.body = body;
    this.contentType = contentType;
    this.options = body !== undefined && DELETIONS.has(info.verb) ? beside(info.query) : readOptions(info.query);
    this.userAgent = call.request.headers["user-agent"];
    this.annotate = audit === undefined ? undefined : (key, value) => audit.annotate(key, value);
    this.#call = call;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }
}
