// A component with a failpoint, a check and a stubborn mode, started as a real process by process.test.ts.
import { runComponent } from "../src/process.ts";

await runComponent<{ mode: string }>({
  name: "fixture",
  version: "0.1.0",
  defaultPort: 0,
  defaultGrpcPort: 0,
  flags: (command) => command.option("--mode <mode>", "how to behave", "good"),
  create: ({ env, flags, metrics, logger, waitFirst }) => {
    if (flags.mode === "waits") waitFirst(async () => logger.info({}, "waited"));
    const beats = metrics.counter("fixture_beats_total", "Beats", ["kind"]);
    const child = logger.child({ part: "heart" });
    return {
      grpcServices: [],
      checks: { "live-heart": () => undefined, warm: () => (flags.mode === "cold" ? "cold" : undefined) },
      leader: () => true,
      facts: () => ({ mode: flags.mode }),
      run: async (signal) => {
        child.debug({}, "beating");
        if (flags.mode === "waits") logger.info({}, "ran");
        if (flags.mode === "throws") throw new Error("broken heart");
        if (flags.mode === "stray") void Promise.reject(new Error("stray"));
        beats.inc({ kind: "first" });
        await env.failpoints.hit("fixture.beat");
        await new Promise<void>((resolve) => {
          if (flags.mode !== "stubborn") signal.addEventListener("abort", () => resolve(), { once: true });
        });
      },
    };
  },
});
