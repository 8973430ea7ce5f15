// Counting never loses a failure.
import { expect, test } from "vitest";
import { addTally, tallyOf } from "../test-tally.ts";

test("a file that cannot load counts as a failure", () => {
  const tally = tallyOf({
    numPassedTests: 3,
    numFailedTests: 1,
    numPendingTests: 2,
    numTodoTests: 1,
    numFailedTestSuites: 2,
    testResults: [
      { status: "failed", assertionResults: [] },
      { status: "failed", assertionResults: [{}] },
      { status: "passed", assertionResults: [{}] },
    ],
  });
  expect(tally).toEqual({ passed: 3, failed: 2, skipped: 3 });
  expect(addTally(tally, tally)).toEqual({ passed: 6, failed: 4, skipped: 6 });
});
