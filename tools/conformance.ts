// `npm run conformance`: runs the rows of test/conformance/behaviours.tsv, on simulated nodes and, where the machine has what it
// takes, on real ones, and writes docs/CONFORMANCE.md. `--from-reports` writes it from what earlier runs left in dist/reports.
// Exits 1 when a row does not do what the table says of it.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { nodeRuntimeMissing } from "@coxswain/cluster";
import { provide } from "./provide.ts";
import { root, runStep } from "./run-step.ts";

const PROJECTS = ["conformance", "conformance-nodes"];
const reportOf = (project: string): string => path.join(root, "dist", "reports", `${project}.json`);

async function runProject(project: string): Promise<void> {
  const missing = project === "conformance" ? undefined : nodeRuntimeMissing(path.join(root, ".tools"));
  if (missing !== undefined) {
    console.log(`skipped: ${project}: ${missing}`);
    return;
  }
  console.log(`running ${project}`);
  rmSync(reportOf(project), { force: true });
  const reporters = ["--reporter=dot", "--reporter=json", `--outputFile.json=${reportOf(project)}`];
  const result = await runStep("vitest", ["run", "--project", project, ...reporters]);
  if (result.ok) return;
  console.log(result.output);
  process.exitCode = 1;
}

if (!process.argv.includes("--from-reports")) {
  await provide();
  const build = await runStep(process.execPath, ["tools/build.ts"]);
  if (!build.ok) throw new Error(build.output);
  mkdirSync(path.dirname(reportOf("any")), { recursive: true });
  for (const project of PROJECTS) await runProject(project);
}
const reports = PROJECTS.map(reportOf).filter((file) => existsSync(file));
for (const [command, args] of [
  [process.execPath, ["test/conformance/make-page.ts", ...reports]],
  ["oxfmt", ["docs/CONFORMANCE.md"]],
] as const) {
  const result = await runStep(command, args);
  if (!result.ok) throw new Error(result.output);
}
console.log("wrote docs/CONFORMANCE.md");
