// The behaviours that Kubernetes' conformance tests ask for, as data: one line of behaviours.tsv each.
//   id         a short name of its own
//   sig        the special interest group that owns it
//   area, behaviour
//   needs      api: an api-server; controllers: those too; node-status: simulated nodes; real-pods: real containers
//   fails      why Coxswain does not behave so yet. Its test has to fail: once it passes, the run is red until this is empty
//   note       what is particular about it here; for a row without a test, why there is none
import { readFileSync } from "node:fs";

export const NEEDS = ["api", "controllers", "node-status", "real-pods"] as const;

export interface Behaviour {
  readonly id: string;
  readonly sig: string;
  readonly area: string;
  readonly behaviour: string;
  readonly needs: (typeof NEEDS)[number];
  readonly fails: string;
  readonly note: string;
}

const COLUMNS = ["id", "sig", "area", "behaviour", "needs", "fails", "note"];

/** The rows of a table as above. Throws, with the line's number, for a line that is none. */
export function parseBehaviours(text: string): Behaviour[] {
  const [head, ...lines] = text.replace(/\n$/, "").split("\n");
  if (head !== COLUMNS.join("\t")) throw new Error(`line 1: must be ${COLUMNS.join(", ")}`);
  const ids = new Set<string>();
  return lines.map((line, at) => {
    const cells = line.split("\t");
    const [id = "", sig = "", area = "", behaviour = "", wish = "", fails = "", note = ""] = cells;
    const needs = NEEDS.find((one) => one === wish);
    if (cells.length !== COLUMNS.length || needs === undefined || [id, sig, area, behaviour].includes(""))
      throw new Error(`line ${at + 2}: is no row of ${COLUMNS.join(", ")}: ${line}`);
    if (ids.has(id)) throw new Error(`line ${at + 2}: ${id} is there twice`);
    ids.add(id);
    return { id, sig, area, behaviour, needs, fails, note };
  });
}

export const BEHAVIOURS: readonly Behaviour[] = parseBehaviours(
  readFileSync(new URL("behaviours.tsv", import.meta.url), "utf8"),
);

/** What the row's test is called. */
export function titleOf(row: Behaviour): string {
  return `${row.area}: ${row.behaviour}`;
}
