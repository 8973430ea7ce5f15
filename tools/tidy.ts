// Repository rules as code:
// - nondeterminism comes through libs/env only,
// - no file or folder is called utils, common or helpers; file names are kebab-case,
// - every source file opens with a comment that says what it guarantees,
// - links in the documentation resolve.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { root } from "./run-step.ts";

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

const BANNED: readonly [RegExp, string][] = [
  [/\bDate\.now\b/, "Date.now: use env.clock"],
  [/\bnew Date\(\s*\)/, "new Date(): use env.clock"],
  [/\bperformance\.now\b/, "performance.now: use env.clock"],
  [/\bprocess\.hrtime\b/, "process.hrtime: use env.clock"],
  [/\bMath\.random\b/, "Math.random: use env.random"],
  [/(?<![.\w])(setTimeout|setInterval|setImmediate)\(/, "timers: use env.timers"],
  [/\bAbortSignal\.timeout\b/, "AbortSignal.timeout: use env.timers.timeoutSignal"],
  [/\brandomUUID\b/, "randomUUID: use env.random"],
  [/\brandomBytes\b/, "randomBytes: use env.random"],
  [/\bgetRandomValues\b/, "getRandomValues: use env.random"],
  [/\bcrypto\.subtle\b/, "crypto.subtle: only the identity door may sign"],
  [/["']node:timers(\/promises)?["']/, "node:timers: use env.timers"],
];

/** The doors themselves. Test files, benchmarks and tools measure and wait for real processes. */
const DOORS = [
  /^libs\/env\//,
  /^libs\/component-base\/src\/identity\//,
  /^tools\//,
  /(^|\/)test\//,
  /^test\/bench\//,
  /\/bench\//,
];
const BAD_NAMES = /(^|\/)(utils?|common|helpers?)(\.|\/|$)/;
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/;

/** Findings in one source file. `file` is relative to the repository root. */
export function checkSource(file: string, text: string): Finding[] {
  const findings: Finding[] = [];
  const lines = text.split("\n");
  if (BAD_NAMES.test(file))
    findings.push({ file, line: 1, rule: "no utils, common or helpers: name it by its concept" });
  if (!KEBAB.test(path.basename(file))) findings.push({ file, line: 1, rule: "file names are kebab-case" });
  const first = lines[0]?.startsWith("#!") ? lines[1] : lines[0];
  if (!/^(\/\/|\/\*)/.test(first ?? ""))
    findings.push({ file, line: 1, rule: "open with a comment: what does this file guarantee?" });
  if (DOORS.some((door) => door.test(file))) return findings;
  for (const [at, line] of lines.entries()) {
    const code = line.replace(/(^|\s)(\/\/|\*).*$/, "");
    for (const [pattern, rule] of BANNED) if (pattern.test(code)) findings.push({ file, line: at + 1, rule });
  }
  return findings;
}

/** Relative links of a Markdown file whose target does not exist. */
export function checkLinks(file: string, text: string, exists: (target: string) => boolean): Finding[] {
  const findings: Finding[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    for (const match of line.matchAll(/\]\(([^)\s]+)\)/g)) {
      const target = match[1]!.replace(/#.*$/, "");
      if (target === "" || /^[a-z]+:/.test(target)) continue;
      if (!exists(path.join(path.dirname(file), target)))
        findings.push({ file, line: at + 1, rule: `broken link: ${target}` });
    }
  }
  return findings;
}

function trackedFiles(): string[] {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  return listed.split("\n").filter((file) => file !== "" && existsSync(path.join(root, file)));
}

function checkRepository(): Finding[] {
  const findings: Finding[] = [];
  for (const file of trackedFiles()) {
    if (/\.(ts|mjs)$/.test(file) && !file.endsWith(".gen.ts") && !file.includes("/planted/")) {
      findings.push(...checkSource(file, readFileSync(path.join(root, file), "utf8")));
    } else if (file.endsWith(".md")) {
      findings.push(
        ...checkLinks(file, readFileSync(path.join(root, file), "utf8"), (target) =>
          existsSync(path.join(root, target)),
        ),
      );
    }
  }
  return findings;
}

if (process.argv[1] === import.meta.filename) {
  const findings = checkRepository();
  for (const { file, line, rule } of findings) console.log(`${file}:${line}: ${rule}`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}
