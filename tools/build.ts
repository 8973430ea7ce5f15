// Bundles each service's main.ts and the command line into dist/NAME.mjs (--out FOLDER: into another one). A bundle loads no file of node_modules, so a
// process starts in milliseconds, with Node's compile cache on top.
import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";
import protobuf from "protobufjs";

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

// Bundled CommonJS packages call require() for Node's own modules; an ES module has none of its own.
const banner = `import { createRequire as __createRequire } from "node:module";
const require = __createRequire(import.meta.url); const __filename = import.meta.filename; const __dirname = import.meta.dirname;`;

/** etcd3 reads its .proto files when it is loaded; a bundle has no such files, so it gets them as JSON. */
const etcd3Protos: Plugin = {
  name: "etcd3-protos",
  setup(build) {
    build.onLoad({ filter: /etcd3\/lib\/connection-pool\.js$/ }, ({ path: file }) => {
      const source = readFileSync(file, "utf8");
      const call = /\(0, proto_loader_1\.loadSync\)\(`\$\{__dirname\}\/\.\.\/proto\/rpc\.proto`, /;
      if (!call.test(source)) throw new Error(`${file} no longer loads its protos as expected`);
      // With names as the .proto file has them: etcd3 speaks of request_put, and what it cannot name is left out in silence.
      const loaded = new protobuf.Root().loadSync(path.join(path.dirname(file), "../proto/rpc.proto"), {
        keepCase: true,
      });
      const types = loaded.toJSON();
      return { contents: source.replace(call, () => `(0, proto_loader_1.fromJSON)(${JSON.stringify(types)}, `) };
    });
  },
};

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

/** Builds all entries that exist and returns esbuild's metafile. */
async function buildAll(started: Date, out: string): Promise<Metafile> {
  const entryPoints = Object.fromEntries(
    Object.entries(entries)
      .map(([name, file]) => [name, path.join(root, file)] as const)
      .filter(([, file]) => existsSync(file)),
  );
  mkdirSync(out, { recursive: true });
  const result = await build({
    entryPoints,
    outdir: out,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    outExtension: { ".js": ".mjs" },
    banner: { js: banner },
    sourcemap: "linked",
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
    plugins: [etcd3Protos, pinoCaller],
    minifySyntax: true,
    keepNames: true,
    write: false,
  });
  for (const { path: file, text } of result.outputFiles) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, file.endsWith(".mjs") ? nameClassesOnly(file, text) : text);
  }
  const stamp = path.join(out, "stamp");
  writeFileSync(stamp, "");
  // A source that changes while the build runs must count as newer.
  utimesSync(stamp, started, started);
  return result.metafile;
}

const outAt = process.argv.indexOf("--out");
const out = path.resolve(root, outAt === -1 ? "dist" : (process.argv[outAt + 1] ?? "dist"));
if (process.argv.includes("--clean")) rmSync(out, { recursive: true, force: true });
const metafile = await buildAll(new Date(), out);
if (process.argv.includes("--sizes")) {
  for (const [file, output] of Object.entries(metafile.outputs)) {
    if (file.endsWith(".mjs")) console.log(`${(output.bytes / 1024).toFixed(0).padStart(6)} KiB  ${file}`);
  }
}
