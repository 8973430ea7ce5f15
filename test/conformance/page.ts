// docs/CONFORMANCE.md: what of the behaviours passes, what fails, and what no test has shown, with sums. Pure.
import { NEEDS, titleOf, type Behaviour } from "./behaviours.ts";

/** The part of vitest's JSON report that counts here. */
export interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

export interface Outcome {
  readonly status: "passed" | "failed" | "skipped";
  /** The test's file, relative to the repository. */
  readonly file: string;
}

/** What the reports tell of each title. A title in two reports counts as failed where one of them says so. */
export function outcomesOf(reports: readonly Report[], root: string): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  for (const { name, assertionResults } of reports.flatMap((report) => report.testResults)) {
    const file = name.startsWith(`${root}/`) ? name.slice(root.length + 1) : name;
    for (const { title, status } of assertionResults) {
      const now = status === "passed" || status === "failed" ? status : "skipped";
      if (outcomes.get(title)?.status !== "failed") outcomes.set(title, { status: now, file });
    }
  }
  return outcomes;
}

export type Verdict = "passes" | "fails" | "not tested";

export interface Judged {
  readonly row: Behaviour;
  readonly verdict: Verdict;
  readonly why: string;
  readonly file: string;
}

const NO_TEST = "no test yet";

/** A row that is known to fail and did, or did not as it should: both are failures, and the page says which. */
export function judge(row: Behaviour, outcome: Outcome | undefined): Judged {
  const file = outcome?.file ?? "";
  if (outcome === undefined || outcome.status === "skipped")
    return { row, file, verdict: "not tested", why: row.note === "" ? NO_TEST : row.note };
  if (outcome.status === "failed") {
    const why =
      row.fails === "" ? "its test failed in the last run" : `passes, though it is on record as: ${row.fails}`;
    return { row, file, verdict: "fails", why };
  }
  if (row.fails !== "") return { row, file, verdict: "fails", why: row.fails };
  return { row, file, verdict: "passes", why: row.note };
}

const HEAD = `# Conformance

The behaviours that Kubernetes' own conformance tests ask for, and what Coxswain does with each. Every row is a test of that
name in [test/conformance](../test/conformance), written against a running cluster with plain HTTPS, watches and the real
kubectl. A row that fails has a test that fails: when it passes one day, the run turns red until the row is changed. The rows
are in [behaviours.tsv](../test/conformance/behaviours.tsv). \`npm run conformance\` runs them all and writes this page.

\`needs\`: what a test runs against. \`api\`: an api-server. \`controllers\`: the controllers too. \`node-status\`: simulated nodes.
\`real-pods\`: containers on real nodes, as root.
`;

function sums(
  judged: readonly Judged[],
  name: string,
  of: (row: Behaviour) => string,
  order: readonly string[],
): string[] {
  const line = (label: string, some: readonly Judged[]): string => {
    const count = (verdict: Verdict): number => some.filter((one) => one.verdict === verdict).length;
    return `| ${label} | ${count("passes")} | ${count("fails")} | ${count("not tested")} | ${some.length} |`;
  };
  return [
    `| ${name} | passes | fails | not tested | rows |`,
    "| --- | ---: | ---: | ---: | ---: |",
    ...order.map((value) =>
      line(
        value,
        judged.filter((one) => of(one.row) === value),
      ),
    ),
    line("**all**", judged),
    "",
  ];
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** The page. */
export function renderPage(rows: readonly Behaviour[], outcomes: ReadonlyMap<string, Outcome>): string {
  const judged = rows.map((row) => judge(row, outcomes.get(titleOf(row))));
  const sigs = [...new Set(rows.map((row) => row.sig))].toSorted();
  const lines = [
    HEAD,
    ...sums(judged, "needs", (row) => row.needs, NEEDS),
    ...sums(judged, "sig", (row) => row.sig, sigs),
  ];
  for (const sig of sigs) {
    lines.push(`## ${sig}`, "", "| behaviour | needs | result | |", "| --- | --- | --- | --- |");
    for (const { row, verdict, why, file } of judged.filter((one) => one.row.sig === sig)) {
      const result = file === "" ? verdict : `[${verdict}](../${file})`;
      lines.push(`| ${cell(titleOf(row))} | ${row.needs} | ${result} | ${cell(why)} |`);
    }
    lines.push("");
  }
  return lines.join("\n");
}
