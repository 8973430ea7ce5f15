// Writes docs/CONFORMANCE.md from vitest's JSON reports.
//   node test/conformance/make-page.ts REPORT...
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { BEHAVIOURS } from "./behaviours.ts";
import { outcomesOf, renderPage, type Report } from "./page.ts";

const root = path.resolve(import.meta.dirname, "../..");
const reports = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, "utf8")) as Report);
if (reports.length === 0) throw new Error("name the reports of vitest to read");
writeFileSync(path.join(root, "docs/CONFORMANCE.md"), renderPage(BEHAVIOURS, outcomesOf(reports, root)));
