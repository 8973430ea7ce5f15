// Checks the contracts: buf lint, buf breaking against the last commit, and generated files that match them.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bufBinary, outdated } from "./generate.ts";

const root = dirname(fileURLToPath(import.meta.url));
const repository = join(root, "..");

function run(command: string, args: readonly string[]): { ok: boolean; output: string } {
  const result = spawnSync(command, args, { cwd: repository, encoding: "utf8" });
  if (result.error !== undefined) throw result.error;
  return { ok: result.status === 0, output: `${result.stdout}${result.stderr}`.trim() };
}

/** What is wrong with the contracts; empty when nothing is. `against` is any git revision that holds them. */
export function checkProtos(against = "HEAD"): string[] {
  const problems: string[] = [];
  const lint = run(bufBinary, ["lint", "protos"]);
  if (!lint.ok) problems.push(`buf lint:\n${lint.output}`);
  // A first commit, or an unpacked archive, has nothing to break.
  if (run("git", ["cat-file", "-e", `${against}:protos/buf.yaml`]).ok) {
    const commit = run("git", ["rev-parse", against]).output;
    const breaking = run(bufBinary, ["breaking", "protos", "--against", `.git#ref=${commit},subdir=protos`]);
    if (!breaking.ok) problems.push(`buf breaking:\n${breaking.output}`);
  }
  const stale = outdated();
  if (stale.length > 0) problems.push(`not up to date, run "node protos/generate.ts": ${stale.join(", ")}`);
  return problems;
}

if (import.meta.main) {
  const problems = checkProtos(process.argv[2]);
  process.stdout.write(problems.length === 0 ? "protos: ok\n" : `${problems.join("\n")}\n`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
