// What `kill -9`, a freeze and a thaw mean for a simulated process.
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import { SimProcess } from "../src/sim-process.ts";

function makeProcess() {
  const env = new VirtualEnv({ seed: 1 });
  return { env, process: new SimProcess("p", env) };
}

describe("a simulated process", () => {
  test("does nothing once it is dead", async () => {
    const { env, process } = makeProcess();
    const said: string[] = [];
    process.env.timers.setTimeout(() => said.push("timer"), 10);
    process.env.timers.setInterval(() => said.push("interval"), 10);
    void process.env.timers.sleep(10).then(() => said.push("slept"));
    void process.carry(env.timers.sleep(10)).then(() => said.push("answered"));
    process.onDeath(() => said.push("closed"));
    process.kill();
    process.kill();
    await env.advance(100);
    expect(said).toEqual(["closed"]);
  });

  test("gets what came while it was frozen, in order, when it is thawed", async () => {
    const { env, process } = makeProcess();
    const said: string[] = [];
    process.env.timers.setTimeout(() => said.push("second"), 20);
    process.env.timers.setTimeout(() => said.push("first"), 10);
    process.env.timers.setInterval(() => said.push("interval"), 30);
    process.freeze();
    await env.advance(200);
    expect(said).toEqual([]);
    process.thaw();
    expect(said).toEqual(["first", "second", "interval"]);
  });
});
