// The fields of the API's protobuf messages, read from upstream's generated.proto files: the second source that the tests hold
// the model against. A field is written as in "optional string 1" or "map .k8s.io.api.core.v1.Secret 2".
import { type Declarations, readDeclaration } from "./model.ts";
import { PACKAGES } from "./roots.ts";

type Messages = Record<string, Record<string, string>>;

/** By schema name, then by field; only for the schemas in `names`. */
export function protobufFields(declarations: Declarations, names: readonly string[]): Messages {
  const wanted = new Set(names);
  const all: Messages = {};
  for (const each of PACKAGES) {
    const messages = parseMessages(readDeclaration(declarations, each, "generated.proto"));
    for (const [message, fields] of Object.entries(messages)) {
      const name = `${each.prefix}.${message}`;
      if (wanted.has(name)) all[name] = fields;
    }
  }
  return Object.fromEntries(Object.entries(all).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function parseMessages(text: string): Messages {
  const messages: Messages = {};
  let fields: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const message = /^message (\w+) \{/.exec(line);
    const field = /^ {2}(optional|repeated|required) ([\w.]+) (\w+) = (\d+)/.exec(line);
    const map = /^ {2}map<string, ([\w.]+)> (\w+) = (\d+)/.exec(line);
    if (message !== null) messages[message[1] as string] = fields = {};
    else if (field !== null) fields[field[3] as string] = `${field[1]} ${field[2]} ${field[4]}`;
    else if (map !== null) fields[map[2] as string] = `map ${map[1]} ${map[3]}`;
  }
  return messages;
}
