// Service level indicators of a process's health: what each check said last, and how often it said so, as /metrics/slis tells it.
// https://kubernetes.io/docs/reference/instrumentation/slis/

export type HealthEndpoint = "healthz" | "livez" | "readyz";

interface Seen {
  readonly name: string;
  readonly type: HealthEndpoint;
  ok: boolean;
  succeeded: number;
  failed: number;
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

export class HealthSlis {
  readonly #seen = new Map<string, Seen>();

  /** A check has answered to a call of the endpoint. */
  observe(type: HealthEndpoint, name: string, ok: boolean): void {
    const key = `${type}/${name}`;
    const seen = this.#seen.get(key) ?? { name, type, ok, succeeded: 0, failed: 0 };
    this.#seen.set(key, seen);
    seen.ok = ok;
    if (ok) seen.succeeded++;
    else seen.failed++;
  }

  /** In Prometheus' text format; empty before the first call. */
  text(): string {
    if (this.#seen.size === 0) return "";
    const all = [...this.#seen.values()];
    const labels = ({ name }: Seen): string => `name="${escaped(name)}"`;
    const last = all.map((one) => `kubernetes_healthcheck{${labels(one)},type="${one.type}"} ${one.ok ? 1 : 0}`);
    const totals = all.flatMap((one) =>
      (["failed", "succeeded"] as const)
        .filter((outcome) => one[outcome] > 0)
        .map((outcome) => {
          const status = outcome === "failed" ? "error" : "success";
          return `kubernetes_healthchecks_total{${labels(one)},status="${status}",type="${one.type}"} ${one[outcome]}`;
        }),
    );
    return [
      "# HELP kubernetes_healthcheck [STABLE] What a health check said last: 1 for health.",
      "# TYPE kubernetes_healthcheck gauge",
      ...last,
      "# HELP kubernetes_healthchecks_total [STABLE] How often a health check said what.",
      "# TYPE kubernetes_healthchecks_total counter",
      ...totals,
      "",
    ].join("\n");
  }
}
