// The pipeline behind gRPC with an audit log: every call leaves the events that the same request over REST leaves.
import { StatusError } from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import { realCaller } from "../auth/impersonation.ts";
import type { ApiRequest, Pipeline } from "../pipeline/contract.ts";
import type { Auditor, AuditRecord } from "./auditor.ts";

export interface AuditedPipelineDeps {
  readonly env: Env;
  readonly auditor: Auditor;
}

const METHODS: Readonly<Record<string, string>> = { deletecollection: "DeleteCollection" };
const methodOf = (verb: string): string => METHODS[verb] ?? `${verb[0]?.toUpperCase()}${verb.slice(1)}`;

function failureOf(error: unknown): StatusError {
  return error instanceof StatusError ? error : new StatusError("InternalError", 500, String(error));
}

export function auditedPipeline(inner: Pipeline, deps: AuditedPipelineDeps): Pipeline {
  const begin = (request: ApiRequest): AuditRecord | undefined => {
    const { user, verb, group, version, resource, subresource, namespace, name } = request;
    const attributes = { user, verb, group, version, resource, subresource, namespace, name };
    const record = deps.auditor.begin({
      auditId: deps.env.random.uuid(),
      attributes,
      caller: realCaller(user),
      requestUri: `/coxswain.api.v1.Resources/${methodOf(verb)}`,
      sourceIps: [],
      userAgent: request.userAgent,
      receivedMs: deps.env.clock.now(),
    });
    record?.requestBody(request.body, request.contentType);
    return record;
  };
  const told = (request: ApiRequest, record: AuditRecord): ApiRequest => ({
    ...request,
    signal: request.signal,
    annotate: (key, value) => record.annotate(key, value),
  });
  return {
    async handle(request) {
      const record = begin(request);
      if (record === undefined) return await inner.handle(request);
      await record.received;
      try {
        const result = await inner.handle(told(request, record));
        record.response(result);
        await record.complete("code" in result ? result.code : 200);
        return result;
      } catch (error) {
        const failure = failureOf(error);
        await record.complete(failure.code, failure.toStatus());
        throw error;
      }
    },
    async watch(request, sink) {
      const record = begin(request);
      if (record === undefined) return await inner.watch(request, sink);
      await record.received;
      const ending = {
        ...sink,
        send: sink.send.bind(sink),
        end(status: Parameters<typeof sink.end>[0]) {
          void record.complete(status?.code ?? 200, status);
          sink.end(status);
        },
      };
      try {
        const started = await inner.watch(told(request, record), ending);
        await record.started(200);
        return started;
      } catch (error) {
        const failure = failureOf(error);
        await record.complete(failure.code, failure.toStatus());
        throw error;
      }
    },
    connect: (request, options) => inner.connect(request, options),
  };
}
