// A stand-in for kubelets whose pods end.
import { PODS, type Pod } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import type { Fixture } from "./cluster-fixture.ts";

/** Ends each pod some time after it was made, as `how` says. */
export function endPods(fixture: Fixture, how: (pod: Pod) => string | undefined, afterMs = 1_000): void {
  const { env, cluster, admin } = fixture;
  const seen = new Set<string>();
  cluster.onChange((change) => {
    const one = change.object as Pod;
    const uid = one.metadata?.uid ?? "";
    if (one.kind !== "Pod" || change.type === "DELETED" || seen.has(uid)) return;
    seen.add(uid);
    const end = async (): Promise<void> => {
      await env.timers.sleep(afterMs);
      const phase = how(one);
      if (phase === undefined) return;
      const exitCode = phase === "Succeeded" ? 0 : 1;
      const state = { terminated: { exitCode, finishedAt: formatTime(env.clock.now()) } };
      const status = { phase, containerStatuses: [{ name: "c", state }] };
      const target = { namespace: "default", name: one.metadata?.name ?? "" };
      await admin.patch(PODS, target, "application/merge-patch+json", { status }, { subresource: "status" });
    };
    end().catch(() => undefined);
  });
}
