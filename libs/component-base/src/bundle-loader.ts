// Runs a bundle from the machine code that an earlier run left behind. Guarantees:
// - the code is that of this very bundle (its digest is in the file's name) and of this engine (the engine checks);
// - the folder of NODE_COMPILE_CACHE is used; where that is unset, or cannot be written, the bundle runs all the same.
// Node's own cache keeps what was compiled before the program ran; most functions are compiled when they are first called,
// and compiling them was a third of a process's start. It must import Node's modules only: it stands outside all bundles.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { constants, Script } from "node:vm";

const PARAMETERS = "exports, require, module, __filename, __dirname";

function read(file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Whole or not at all: several processes of one bundle may end at once. */
function keep(file: string, code: Buffer): void {
  const temporary = `${file}.${process.pid}`;
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(temporary, code);
    renameSync(temporary, file);
  } catch (error) {
    // It saves time only; a process that may not write there goes without.
    if (!["EACCES", "ENOSPC", "EPERM", "EROFS"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

/** A run that ends in an error, or tells its version, has called too little to be worth keeping. */
const worthKeeping = (code: number | undefined): boolean =>
  (code ?? 0) === 0 && !process.argv.some((one) => one === "--version" || one === "--help");

/** Runs the CommonJS bundle `file`, which is in ASCII; `digest` names its contents. */
export function runBundle(file: string, digest: string): void {
  const folder = process.env["NODE_COMPILE_CACHE"];
  const kept = folder === undefined ? undefined : path.join(folder, `${path.basename(file, ".js")}-${digest}.code`);
  const cachedData = read(kept);
  const script = new Script(`(function (${PARAMETERS}) {${readFileSync(file, "latin1")}\n})`, {
    filename: file,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  if (kept !== undefined && (cachedData === undefined || script.cachedDataRejected === true)) {
    process.once("exit", (code) => {
      if (worthKeeping(code)) keep(kept, script.createCachedData());
    });
  }
  const loaded = { exports: {} };
  const run = script.runInThisContext() as (...given: unknown[]) => void;
  run(loaded.exports, createRequire(file), loaded, file, path.dirname(file));
}
