// A wait that news may end, and whoever waits may give up.
import { expect, test } from "vitest";
import { AbortError, pause, VirtualEnv } from "../src/index.ts";

test("it ends with its time, or with news; whoever gives up is told", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const ended: string[] = [];
  const [news, given] = [new AbortController(), new AbortController()];
  const wait = (name: string, ms: number): void => {
    pause(env.timers, ms, news.signal, given.signal).then(
      () => ended.push(name),
      (error: unknown) => ended.push(`${name}: ${String(error)}`),
    );
  };
  wait("time", 10);
  wait("news", 100);
  await env.advance(20);
  expect(ended).toEqual(["time"]);
  news.abort(new AbortError("news"));
  await env.advance(1);
  expect(ended).toEqual(["time", "news"]);
  given.abort(new AbortError("given up"));
  wait("late", 10);
  await env.advance(1);
  expect(ended).toEqual(["time", "news", "late: AbortError: given up"]);
});
