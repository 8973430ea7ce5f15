// Imports of CommonJS packages load when they are used, and mean the same as before.
import { createContext, runInContext } from "node:vm";
import { build, type BuildOptions } from "esbuild";
import { expect, test } from "vitest";
import { lazyImports } from "../lazy-imports.ts";

const OPTIONS: BuildOptions = { bundle: true, format: "cjs", platform: "node", write: false, logLevel: "silent" };

/** What the bundle of `main` with these packages logs, as esbuild wrote it and with lazy imports. */
async function logs(main: string, packages: Record<string, string>): Promise<{ eager: unknown[]; lazy: unknown[] }> {
  const { outputFiles } = await build({
    ...OPTIONS,
    stdin: { contents: main, loader: "ts", resolveDir: "/", sourcefile: "/main.mts" },
    plugins: [
      {
        name: "packages",
        setup(setup) {
          setup.onResolve({ filter: /.*/ }, ({ path }) =>
            path in packages
              ? { path: path.endsWith("ts") ? `/${path}` : `/${path}.cjs`, namespace: "packages" }
              : undefined,
          );
          setup.onLoad({ filter: /.*/, namespace: "packages" }, ({ path }) => ({
            contents: packages[path.slice(1).replace(/\.cjs$/, "")] ?? "",
            loader: path.endsWith("ts") ? "ts" : "js",
          }));
        },
      },
    ],
  });
  const text = outputFiles?.[0]?.text ?? "";
  const run = (code: string): unknown[] => {
    const told: unknown[] = [];
    runInContext(code, createContext({ log: (value: unknown) => told.push(value), module: { exports: {} } }));
    return told;
  };
  return { eager: run(text), lazy: run(lazyImports("test", text)) };
}

test("a package is loaded by the first use of it, and never without one", async () => {
  const main = `
    import { a, b } from "used"; import { a as again } from "used"; import { c } from "unused"; import "effect";
    log("start"); log(a()); log(b); log(again()); if (globalThis.never) log(c);
  `;
  const packages = {
    used: 'log("used"); exports.a = () => "a"; exports.b = "b";',
    unused: 'log("unused"); exports.c = 1;',
    effect: 'log("effect");',
  };
  const { eager, lazy } = await logs(main, packages);
  expect(eager).toEqual(["used", "unused", "effect", "start", "a", "b", "a"]);
  expect(lazy).toEqual(["effect", "start", "used", "a", "b", "a"]);
});

test.each([
  ["module.exports = { kind: 'plain' };"],
  ["module.exports = function named() {}; module.exports.kind = 'function';"],
  [
    "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = { kind: 'own default' }; exports.kind = 'member';",
  ],
  ["exports.kind = undefined;"],
])("default and members are as before: %s", async (code) => {
  const main = `
    import one, { kind } from "one"; import { later, set } from "two.mts";
    log(typeof one); log(one?.kind ?? one?.default?.kind); log(kind); log(later.value); set(); log(later.value);
  `;
  const two = 'import state from "state"; export const later = state; export function set() { state.value = 2; }';
  const { eager, lazy } = await logs(main, { one: code, "two.mts": two, state: "module.exports = { value: 1 };" });
  expect(lazy).toEqual(eager);
  expect(lazy).toHaveLength(5);
});

test("what uses an import as a whole stops the build", async () => {
  const text = '"use strict";\nvar import_x = __toESM(require_x(), 1);\nlog(import_x);\n';
  expect(() => lazyImports("x.js", text)).toThrow("x.js uses import_x in another way");
});
