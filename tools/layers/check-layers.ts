// Checks the layer rules, and first that the checker can fail: a planted violation must be caught, and a run that sees
// no modules is an error (dependency-cruiser beside TypeScript 7 sees none and reports success).
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root, runStep } from "../run-step.ts";

interface CruiseReport {
  readonly summary: {
    readonly totalCruised: number;
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
    }[];
  };
}

async function cruise(folders: readonly string[]): Promise<CruiseReport> {
  const result = await runStep("depcruise", [
    "--config",
    "tools/layers/rules.cjs",
    "--output-type",
    "json",
    ...folders,
  ]);
  const start = result.output.indexOf("{");
  if (start < 0) throw new Error(`dependency-cruiser gave no report: ${result.output.slice(0, 500)}`);
  return JSON.parse(result.output.slice(start)) as CruiseReport;
}

/** Plants an import that goes the wrong way, and says whether the rules catch it. */
async function plantedViolationIsCaught(): Promise<boolean> {
  const folder = path.join(root, "libs/apimachinery/src/planted");
  const planted = path.join(folder, "violation.ts");
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(planted, `// Planted.\nexport { PODS } from "../../../api/src/refs.ts";\n`);
    const report = await cruise(["libs/apimachinery/src/planted"]);
    return report.summary.violations.some((violation) => violation.from.endsWith("planted/violation.ts"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const problems: string[] = [];
if (!(await plantedViolationIsCaught())) problems.push("a planted violation was not caught: the layer check is blind");
const report = await cruise(
  ["libs", "services", "protos", "bin/src", "test"].filter((folder) => existsSync(path.join(root, folder))),
);
if (report.summary.totalCruised < 50)
  problems.push(`only ${report.summary.totalCruised} modules were seen: the layer check is blind`);
for (const { from, to, rule } of report.summary.violations) problems.push(`${from} → ${to}: ${rule.name}`);
for (const problem of problems) console.log(problem);
if (problems.length === 0) console.log(`${report.summary.totalCruised} modules`);
process.exitCode = problems.length > 0 ? 1 : 0;
