// The tables of gRPC services in the documentation name every method that the contracts have, and no other.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { root } from "../run-step.ts";

/** Service → its methods, in the order of the contract; a stream of the server's, or of both sides, says so. */
function contracts(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const folder of ["protos/coxswain", "protos/grpc/health"]) {
    for (const file of readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".proto")) continue;
      const text = readFileSync(path.join(root, folder, file), "utf8");
      const name = `${/^package (.*);/m.exec(text)?.[1]}.${/^service (\w+)/m.exec(text)?.[1]}`;
      const methods = [...text.matchAll(/^ *rpc (\w+)\((?:stream )?\w+\) returns \((stream )?/gm)];
      if (methods.length > 0)
        found.set(
          name,
          methods.map(([, method, stream]) => (stream === undefined ? method! : `${method} (stream)`)),
        );
    }
  }
  return found;
}

test.each(["README.md", "docs/GRPC.md"])("%s", (page) => {
  const rows = readFileSync(path.join(root, page), "utf8").matchAll(/^\|.*\| `([\w.]+\.v1\.\w+)` +\| (.*?) *\|$/gm);
  const told = [...rows].map(([, service, methods]): [string, string[]] => [
    service!,
    methods!.replaceAll(" both ways)", ")").split(", "),
  ]);
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(contracts()));
});
