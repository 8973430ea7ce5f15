// A body is whole, or an error; what is too large is not read to its end.
import { expect, test } from "vitest";
import { readAtMost } from "../src/read-at-most.ts";

let given = 0;
async function* body(...texts: string[]): AsyncIterable<Buffer> {
  for (const text of texts) {
    given++;
    yield Buffer.from(text);
  }
}

test("a body of the largest size is read whole", async () => {
  expect((await readAtMost(body("ab", "", "c"), 3)).toString()).toBe("abc");
  expect(await readAtMost(body(), 0)).toHaveLength(0);
});

test("a larger one is an error, the caller's own where it has one", async () => {
  given = 0;
  await expect(readAtMost(body("ab", "cd", "ef", "gh"), 3)).rejects.toThrow("the answer is larger than 3 bytes");
  expect(given).toBe(2);
  const own = new TypeError("no");
  await expect(readAtMost(body("ab"), 1, () => own)).rejects.toBe(own);
});
