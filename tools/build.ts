// Bundles each service's main.ts and the command line; dist/NAME.mjs runs one (--out FOLDER: in another folder). A bundle loads
// no file of node_modules, and runs from compiled code that an earlier run kept (bundle-loader.ts).
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { build, type BuildOptions, type OutputFile, type Plugin } from "esbuild";
import { lazyImports } from "./lazy-imports.ts";

const root = path.resolve(import.meta.dirname, "..");

/** Bundle name → entry file. */
const entries: Record<string, string> = {
  cli: "bin/src/main.ts",
  supervisor: "libs/cluster/src/supervisor-main.ts",
  pki: "libs/cluster/src/pki-main.ts",
  "compose-node": "libs/cluster/src/compose-node-main.ts",
  "image-puller": "libs/images/src/puller/image-puller-main.ts",
  gateway: "libs/cluster/src/gateway/gateway-main.ts",
  "api-server": "services/api-server/src/main.ts",
  scheduler: "services/scheduler/src/main.ts",
  "controller-manager": "services/controller-manager/src/main.ts",
  kubelet: "services/kubelet/src/main.ts",
  "kube-proxy": "services/kube-proxy/src/main.ts",
  "cluster-dns": "services/cluster-dns/src/main.ts",
  "metrics-server": "services/metrics-server/src/main.ts",
  "cluster-autoscaler": "services/cluster-autoscaler/src/main.ts",
  sim: "test/sim/src/main.ts",
  "demo/trolley": "demo/src/trolley-main.ts",
  "demo/authenticator": "demo/src/authenticator-main.ts",
  "demo/check-out": "demo/src/check-out-main.ts",
  "demo/ledger": "demo/src/ledger-main.ts",
  "demo/customer": "demo/src/customer-main.ts",
};

/** What runs the bundles. */
const LOADER = "libs/component-base/src/bundle-loader.ts";

/** Images of the demo hold one file each; what runs for long gains nothing from a quick start. */
const standsAlone = (name: string): boolean => name.startsWith("demo/") || name === "sim" || name === "image-puller";

// Bundled CommonJS packages call require() for Node's own modules; an ES module has none of its own.
const MODULE_BANNER = `const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);`;

/**
 * pino asks the engine who calls it, though only its transports, which nobody uses here, want to know; with source maps that
 * reads the map of the whole bundle, a sixth of a CPU second of each process's start.
 */
const pinoCaller: Plugin = {
  name: "pino-caller",
  setup(build) {
    build.onLoad({ filter: /pino\/lib\/caller\.js$/ }, ({ path: file }) => {
      if (!/module\.exports = function getCallers/.test(readFileSync(file, "utf8"))) {
        throw new Error(`${file} no longer tells callers as expected`);
      }
      return { contents: "module.exports = () => undefined;" };
    });
  },
};

/** long.js compiles a WebAssembly module when it is loaded, to multiply and divide faster: nobody here does so with its numbers. */
const longInScript: Plugin = {
  name: "long-in-script",
  setup(build) {
    build.onLoad({ filter: /long\/umd\/index\.js$/ }, ({ path: file }) => {
      const source = readFileSync(file, "utf8");
      const compile = /var wasm = null;\s+try \{/;
      if (!compile.test(source)) throw new Error(`${file} no longer compiles its module as expected`);
      return { contents: source.replace(compile, "var wasm = null;\nif (false) try {") };
    });
  },
};

/** cel-js fills its tables when it is loaded; most processes bundle rules that they never ask. */
const celOnDemand: Plugin = {
  name: "cel-on-demand",
  setup(build) {
    build.onLoad({ filter: /cel-js\/lib\/evaluator\.js$/ }, ({ path: file }) => {
      const source = readFileSync(file, "utf8");
      const registry =
        /const globalRegistry = (createRegistry\(.*\))\n((?:register\w+\(globalRegistry\)\n)+)([^]*: globalRegistry)\b/;
      const environment = /const globalEnvironment = (new Environment\(\{[^}]*\}\))([^]*)$/;
      if (!registry.test(source) || !environment.test(source))
        throw new Error(`${file} fills its tables in another way`);
      const contents = source
        .replace(registry, (_, create: string, fill: string, rest: string) => {
          const steps = fill.replaceAll("globalRegistry", "filled").trim().replaceAll("\n", "; ");
          return `let filled\nconst globalRegistry = () => { if (!filled) { filled = ${create}; ${steps} } return filled }\n${rest}()`;
        })
        .replace(environment, (_, create: string, rest: string) => {
          const uses = rest.replaceAll("globalEnvironment.", "globalEnvironment().");
          return `let made\nconst globalEnvironment = () => (made ??= ${create})${uses}`;
        });
      return { contents };
    });
  },
};

const NAMING = /\b__name = (\(\w+, \w+\) => __defProp\(\w+, "name", \{ [\w: ]+, configurable: !0 \}\))/;

/**
 * esbuild gives every function its name back by a call, which a closure pays each time that it is made: a tenth of a request.
 * Programs ask only classes for their names, so functions keep what they got. Columns of source maps stay as they are.
 */
function nameClassesOnly(file: string, text: string): string {
  const named = text.replaceAll("__name(this, ", "__clas(this, ");
  if (named === text) return text;
  if (!NAMING.test(named)) throw new Error(`${file} names its classes in another way than expected`);
  return named.replace(NAMING, "__clas = $1, __name = (target) => target");
}

/**
 * An import of one of Node's modules reads every member that the module has, and one member of node:http loads a whole HTTP
 * client: a fifteenth of a process's start. What is asked for by require() is read member by member.
 */
const nodeModules: Plugin = {
  name: "node-modules",
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path: name, kind }) =>
      kind === "import-statement" ? { path: name, namespace: "node-module" } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: "node-module" }, ({ path: name }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(name)});`,
    }));
  },
};

const SHARED: BuildOptions = {
  bundle: true,
  platform: "node",
  target: "node24",
  charset: "ascii",
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
  plugins: [pinoCaller, longInScript, celOnDemand, nodeModules],
  minifySyntax: true,
  keepNames: true,
  write: false,
};

/** Writes what was built; returns the sizes of the bundles. */
function writeOutputs(files: readonly OutputFile[]): [string, number][] {
  for (const { path: file, text } of files) {
    mkdirSync(path.dirname(file), { recursive: true });
    const lazy = file.endsWith(".js") ? lazyImports(file, text) : text;
    writeFileSync(file, file.endsWith(".map") ? text : nameClassesOnly(file, lazy));
  }
  return files
    .filter(({ path: file }) => !file.endsWith(".map"))
    .map(({ path: file, contents }) => [path.relative(root, file), contents.length]);
}

/** dist/NAME.mjs, which runs dist/bundles/NAME.js. */
function writeStarter(out: string, name: string): void {
  const bundle = path.join(out, "bundles", `${name}.js`);
  const digest = createHash("sha256").update(readFileSync(bundle)).digest("hex").slice(0, 16);
  writeFileSync(
    path.join(out, `${name}.mjs`),
    `const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);
require("./bundle-loader.cjs").runBundle(require.resolve("./bundles/${name}.js"), "${digest}");
`,
  );
}

/** Builds all entries that exist and returns the size of each bundle. */
async function buildAll(started: Date, out: string): Promise<Map<string, number>> {
  const present = Object.entries(entries)
    .map(([name, file]) => [name, path.join(root, file)] as const)
    .filter(([, file]) => existsSync(file));
  const alone = present.filter(([name]) => standsAlone(name));
  const run = present.filter(([name]) => !standsAlone(name));
  mkdirSync(out, { recursive: true });
  const built = await Promise.all([
    build({
      ...SHARED,
      entryPoints: Object.fromEntries(run),
      outdir: path.join(out, "bundles"),
      format: "cjs",
      define: { "import.meta.dirname": "__dirname", "import.meta.filename": "__filename" },
    }),
    build({
      ...SHARED,
      entryPoints: Object.fromEntries(alone),
      outdir: out,
      format: "esm",
      outExtension: { ".js": ".mjs" },
      banner: { js: MODULE_BANNER },
    }),
    build({
      ...SHARED,
      entryPoints: [path.join(root, LOADER)],
      outfile: path.join(out, "bundle-loader.cjs"),
      format: "cjs",
    }),
  ]);
  const sizes = built.flatMap(({ outputFiles }) => writeOutputs(outputFiles ?? []));
  for (const [name] of run) writeStarter(out, name);
  const stamp = path.join(out, "stamp");
  writeFileSync(stamp, "");
  // A source that changes while the build runs must count as newer.
  utimesSync(stamp, started, started);
  return new Map(sizes);
}

const outAt = process.argv.indexOf("--out");
const out = path.resolve(root, outAt === -1 ? "dist" : (process.argv[outAt + 1] ?? "dist"));
if (process.argv.includes("--clean")) rmSync(out, { recursive: true, force: true });
const sizes = await buildAll(new Date(), out);
if (process.argv.includes("--sizes")) {
  for (const [file, bytes] of sizes) console.log(`${(bytes / 1024).toFixed(0).padStart(6)} KiB  ${file}`);
}
