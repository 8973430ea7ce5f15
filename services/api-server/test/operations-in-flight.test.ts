// How many operations of a Batch stream run at once, and what becomes of those for which the server has no room.
import { expect, test } from "vitest";
import { TooBusyError } from "../src/flow-control/too-busy.ts";
import { OperationsInFlight } from "../src/grpc/operations-in-flight.ts";

/** A server with room for `seats` operations; each ends when the test says so. */
function makeServer(seats: number) {
  const ends: (() => void)[] = [];
  let attempts = 0;
  let held = 0;
  return {
    attempts: () => attempts,
    held: () => held,
    take: (count: number) => (held += count),
    endOne: () => ends.shift()?.(),
    async attempt(): Promise<string> {
      attempts++;
      if (held >= seats) throw new TooBusyError();
      held++;
      await new Promise<void>((resolve) => ends.push(resolve));
      held--;
      return "done";
    },
  };
}

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
};

function run(inFlight: OperationsInFlight, attempt: () => Promise<string>, outcomes: string[]): void {
  inFlight.start(async () => {
    try {
      outcomes.push(await inFlight.admitted(attempt));
    } catch (error) {
      outcomes.push((error as Error).message);
    }
  });
}

test("operations for which the server has no room wait for others of their stream", async () => {
  const inFlight = new OperationsInFlight(100);
  const server = makeServer(3);
  const outcomes: string[] = [];
  for (let at = 0; at < 40; at++) run(inFlight, () => server.attempt(), outcomes);
  await turns();
  expect(server.held()).toBe(3);
  for (let at = 0; at < 40; at++) {
    server.endOne();
    await turns();
  }
  await inFlight.settled();
  expect(outcomes).toEqual(Array.from({ length: 40 }, () => "done"));
  // 40 at first; then one for each end while somebody waits.
  expect(server.attempts()).toBe(40 + 37);
});

test("where others fill the server, an operation is refused", async () => {
  const inFlight = new OperationsInFlight(100);
  const server = makeServer(3);
  server.take(3);
  const outcomes: string[] = [];
  for (let at = 0; at < 5; at++) run(inFlight, () => server.attempt(), outcomes);
  await inFlight.settled();
  expect(outcomes).toEqual(Array.from({ length: 5 }, () => new TooBusyError().message));
});

test("any other error is passed on at once", async () => {
  const inFlight = new OperationsInFlight(100);
  const outcomes: string[] = [];
  for (let at = 0; at < 5; at++) run(inFlight, () => Promise.reject(new Error("no")), outcomes);
  await inFlight.settled();
  expect(outcomes).toEqual(["no", "no", "no", "no", "no"]);
});

test("no more than the limit run", async () => {
  const inFlight = new OperationsInFlight(2);
  const server = makeServer(100);
  const outcomes: string[] = [];
  let started = 0;
  const starting = (async () => {
    for (; started < 6; started++) {
      await inFlight.room();
      run(inFlight, () => server.attempt(), outcomes);
    }
  })();
  await turns();
  expect(server.held()).toBe(2);
  for (let at = 0; at < 6; at++) {
    server.endOne();
    await turns();
    expect(server.held()).toBeLessThanOrEqual(2);
  }
  await starting;
  await inFlight.settled();
  expect(outcomes).toHaveLength(6);
});
