// The paths of subresources that carry no object: a stream to a container, or a request passed on. Pure.
import type { KindDefinition, SubresourceDefinition } from "../kind.ts";
import { operationId } from "./open-api-operation-id.ts";
import { CONNECTION_PARAMETERS } from "./open-api-parameters.ts";
import type { JsonSchema } from "./open-api-schemas.ts";

const METHODS: Readonly<Record<string, readonly string[]>> = {
  get: ["get", "head", "options"],
  create: ["post"],
  update: ["put"],
  patch: ["patch"],
  delete: ["delete"],
};

/** Every operation may answer it. */
export const UNAUTHORIZED: JsonSchema = { "401": { description: "Unauthorized" } };

/** Their bodies are options of a connection: PodExecOptions, NodeProxyOptions and the like. */
export const isConnection = ({ kind }: SubresourceDefinition): boolean => kind.endsWith("Options");

function operation(
  kind: KindDefinition,
  subresource: SubresourceDefinition,
  method: string,
  rest: boolean,
): JsonSchema {
  const { group, version } = subresource;
  const target = { subresource: subresource.name, of: method, suffix: rest ? "WithPath" : "" };
  const asked = CONNECTION_PARAMETERS[subresource.name];
  return {
    operationId: operationId(kind, "connect", target),
    "x-kubernetes-action": "connect",
    "x-kubernetes-group-version-kind": { group, version, kind: subresource.kind },
    ...(asked === undefined ? {} : { parameters: asked }),
    responses: { "200": { description: "OK", content: { "*/*": { schema: { type: "string" } } } }, ...UNAUTHORIZED },
  };
}

/** `named`: the path of one object; `parameters`: what that path has in braces. */
export function connectionPaths(
  kind: KindDefinition,
  named: string,
  parameters: readonly JsonSchema[],
): Record<string, JsonSchema> {
  const paths: Record<string, JsonSchema> = {};
  for (const subresource of kind.subresources.filter(isConnection)) {
    const proxied = subresource.name === "proxy";
    const methods = subresource.verbs
      .flatMap((verb) => METHODS[verb] ?? [])
      .filter((method) => proxied || method === "get" || method === "post");
    const operations = (rest: boolean): JsonSchema =>
      Object.fromEntries(methods.map((method) => [method, operation(kind, subresource, method, rest)]));
    const path = `${named}/${subresource.name}`;
    paths[path] = { ...operations(false), parameters };
    if (!proxied) continue;
    const rest = { name: "path", in: "path", required: true, schema: { type: "string", uniqueItems: true } };
    paths[`${path}/{path}`] = { ...operations(true), parameters: [...parameters, rest] };
  }
  return paths;
}
