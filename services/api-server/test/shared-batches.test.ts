// Chunks that many readers of a watch share.
import { expect, test } from "vitest";
import type { PipelineWatchEvent } from "../src/pipeline/contract.ts";
import { SharedBatches } from "../src/rest/shared-batches.ts";

function event(text: string): PipelineWatchEvent {
  const object = { namespace: "", name: "", rv: 1n, json: Buffer.from(text), object: {} };
  return { type: "ADDED", object };
}

test("readers of the same events share a chunk, and no others", () => {
  const batches = new SharedBatches();
  let made = 0;
  const chunk = (...events: PipelineWatchEvent[]): Buffer =>
    batches.chunk(events, (all) => {
      made++;
      return all.map(({ object }) => object.json);
    });
  const [a, b, alike] = [event("aaaaaaaaaaaaaaaaa"), event("b"), event("b")];
  const first = chunk(a, b);
  expect(first.toString()).toBe("12\r\naaaaaaaaaaaaaaaaab\r\n");
  expect(chunk(a, b)).toBe(first);
  expect(made).toBe(1);
  expect(chunk(a).toString()).toBe("11\r\naaaaaaaaaaaaaaaaa\r\n");
  expect(chunk(a, alike)).not.toBe(first);
  expect(chunk(b, a).toString()).toBe("12\r\nbaaaaaaaaaaaaaaaaa\r\n");
  expect(made).toBe(4);
  // Long after, it is made again.
  for (let n = 0; n < 20; n++) chunk(event(String(n)));
  expect(chunk(a, b)).toEqual(first);
  // What nobody can have in this form must not end the stream.
  expect(chunk(event(""))).toHaveLength(0);
});
