// The parameters of operations in OpenAPI documents, under upstream's names: what generated clients can ask for.
import type { JsonSchema } from "./open-api-schemas.ts";

type ParameterType = "string" | "integer" | "boolean";

function query(name: string, type: ParameterType, description: string, required = false): JsonSchema {
  const parameter = { name, in: "query", description, schema: { type, uniqueItems: true } };
  return required ? { ...parameter, required } : parameter;
}

function inPath(name: string, description: string): JsonSchema {
  return { name, in: "path", description, required: true, schema: { type: "string", uniqueItems: true } };
}

const DRY_RUN = query("dryRun", "string", "All: check everything and store nothing.");
const PRETTY = query("pretty", "string", "true: the answer is for people to read.");
const SEND_INITIAL_EVENTS = query("sendInitialEvents", "boolean", "Begin a watch with what is there.");

export const WRITE = [
  DRY_RUN,
  query("fieldManager", "string", "The name that the change is recorded under; an apply must have one."),
  query("fieldValidation", "string", "Ignore, Warn or Strict: what unknown fields mean."),
];
export const PATCH = [...WRITE, query("force", "boolean", "Of an apply: take over what other managers own.")];
export const DELETE = [
  DRY_RUN,
  query("gracePeriodSeconds", "integer", "Seconds to end in; 0 ends at once."),
  query(
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "boolean",
    "Delete also what can no longer be read from storage, where the server lets that be done.",
  ),
  query("orphanDependents", "boolean", "The older form of propagationPolicy: whether dependents stay."),
  query("propagationPolicy", "string", "Orphan, Background or Foreground: what becomes of dependents."),
];
const SELECT = [
  query("labelSelector", "string", "Chooses objects by labels."),
  query("fieldSelector", "string", "Chooses objects by fields."),
  query("limit", "integer", "The most objects a page holds."),
  query("continue", "string", "The token that the last page ended with."),
  query("resourceVersion", "string", "The version to read or start at."),
  query("resourceVersionMatch", "string", "How resourceVersion is meant."),
  query("timeoutSeconds", "integer", "Ends the call after that time."),
  SEND_INITIAL_EVENTS,
];
export const LIST = [
  ...SELECT,
  query("watch", "boolean", "Follow changes instead of returning a list."),
  query("allowWatchBookmarks", "boolean", "Send bookmarks in a watch."),
];
export const DELETE_COLLECTION = [...DELETE, ...SELECT];

const CONTAINER = query("container", "string", "The container; the only one where it is not named.");
const STREAMS = [
  CONTAINER,
  query("stdin", "boolean", "Lead the client's input to the container."),
  query("stdout", "boolean", "Lead the container's output to the client."),
  query("stderr", "boolean", "Lead what the container writes as errors to the client."),
  query("tty", "boolean", "With a terminal."),
];
const PROXY = [query("path", "string", "What is asked for at the other side.")];

/** Of what leads to a container, a port or a log; by subresource. */
export const CONNECTION_PARAMETERS: Readonly<Record<string, readonly JsonSchema[]>> = {
  attach: STREAMS,
  exec: [query("command", "string", "The command, which no shell reads; once for each word of it."), ...STREAMS],
  portforward: [query("ports", "integer", "The ports of the pod, where a WebSocket leads to them.")],
  proxy: PROXY,
  log: [
    CONTAINER,
    query("follow", "boolean", "Send new lines as they come."),
    query("insecureSkipTLSVerifyBackend", "boolean", "Do not ask who the node is."),
    query("limitBytes", "integer", "The most bytes of the answer."),
    query("previous", "boolean", "Of the container that ran before."),
    query("sinceSeconds", "integer", "Lines of the last seconds only."),
    query("stream", "string", "All, Stdout or Stderr, where the server lets them be picked."),
    query("tailLines", "integer", "The last lines only."),
    query("timestamps", "boolean", "Begin each line with its time."),
  ],
};

/** What the braces of a path stand for. */
export function pathParameters(namespaced: boolean, named: boolean): JsonSchema[] {
  return [
    ...(named ? [inPath("name", "The object's name.")] : []),
    ...(namespaced ? [inPath("namespace", "The object's namespace.")] : []),
  ];
}

/** The same, and what all operations on objects take. */
export function objectParameters(namespaced: boolean, named: boolean): JsonSchema[] {
  return [...pathParameters(namespaced, named), PRETTY];
}
