// How many seats a request takes: lists by the number of objects they go through, all else one. Pure.
import type { RequestOptions, RequestVerb } from "../pipeline/contract.ts";

const OBJECTS_A_SEAT = 100;

export interface WidthInput {
  readonly verb: RequestVerb;
  /** Of one object: a list by name goes through no others. */
  readonly name: string;
  readonly options: Pick<RequestOptions, "limit" | "resourceVersion" | "fieldSelector" | "sendInitialEvents">;
}

/** `stored` are all objects of the resource. */
export function requestWidth({ verb, name, options }: WidthInput, stored: () => number, max: number): number {
  const lists = verb === "list" || verb === "deletecollection" || (verb === "watch" && replays(options));
  if (!lists || name !== "" || options.fieldSelector?.startsWith("metadata.name=") === true) return 1;
  const limit = Number(options.limit ?? "0");
  const count = verb === "list" && limit > 0 ? Math.min(limit, stored()) : stored();
  return Math.max(1, Math.min(max, Math.ceil(count / OBJECTS_A_SEAT)));
}

/** A watch that begins with what is there is a list first. */
function replays({ resourceVersion = "", sendInitialEvents }: WidthInput["options"]): boolean {
  return (
    sendInitialEvents === "true" ||
    (sendInitialEvents === undefined && (resourceVersion === "" || resourceVersion === "0"))
  );
}
