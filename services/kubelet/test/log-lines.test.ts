// Which lines of a log a reader gets, also while the container goes on writing.
import { expect, test } from "vitest";
import { selectLogLines, type LogLine, type LogSelection } from "../src/server/log-lines.ts";

const ALL: LogSelection = {
  follow: false,
  timestamps: false,
  tailLines: undefined,
  limitBytes: undefined,
  sinceSeconds: undefined,
  sinceTime: "",
};

/** A log that has one line more each time that it is read. */
function growing(lines: readonly string[]): (follow: boolean) => AsyncIterable<LogLine> {
  let reads = 0;
  return async function* read() {
    const present = lines.length + reads++;
    for (let at = 0; at < present; at++) {
      yield { timeMs: at, line: Buffer.from(lines[at] ?? `later ${at}`) };
    }
  };
}

async function textOf(selection: Partial<LogSelection>, lines: readonly string[]): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of selectLogLines(growing(lines), { ...ALL, ...selection }, 0)) parts.push(part);
  return Buffer.concat(parts).toString();
}

test("the last lines are those that were there when they were counted", async () => {
  expect(await textOf({ tailLines: 1 }, ["a", "b"])).toBe("b\n");
  expect(await textOf({ tailLines: 9 }, ["a", "b"])).toBe("a\nb\n");
  expect(await textOf({ tailLines: 0 }, ["a", "b"])).toBe("");
  expect(await textOf({ tailLines: 1, limitBytes: 1 }, ["ab", "cd"])).toBe("c");
});

test("who follows gets what comes after the last lines, too", async () => {
  expect(await textOf({ tailLines: 1, follow: true }, ["a", "b"])).toBe("b\nlater 2\n");
  expect(await textOf({ tailLines: 0, follow: true }, ["a", "b"])).toBe("later 2\n");
});

test("all lines are all that there are", async () => {
  expect(await textOf({}, ["a", "b"])).toBe("a\nb\n");
  expect(await textOf({ limitBytes: 3 }, ["ab", "cd"])).toBe("ab\n");
});
