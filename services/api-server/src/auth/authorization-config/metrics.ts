// What authorization tells of itself, under upstream's names.
import { createHash } from "node:crypto";
import type { Metrics } from "@coxswain/component-base";
import type { DecisionCount } from "../authorizer-chain.ts";
import type { Match } from "./match-conditions.ts";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const CONDITION_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];
const TYPE = "Webhook";

export class AuthorizationMetrics {
  readonly #decisions: ReturnType<Metrics["counter"]>;
  readonly #evaluations: ReturnType<Metrics["counter"]>;
  readonly #failOpen: ReturnType<Metrics["counter"]>;
  readonly #seconds: ReturnType<Metrics["histogram"]>;
  readonly #conditionErrors: ReturnType<Metrics["counter"]>;
  readonly #exclusions: ReturnType<Metrics["counter"]>;
  readonly #conditionSeconds: ReturnType<Metrics["histogram"]>;

  constructor(metrics: Metrics) {
    const name = (rest: string): string => `apiserver_authorization_${rest}`;
    this.#decisions = metrics.counter(
      name("decisions_total"),
      "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
      ["type", "name", "decision"],
    );
    const asked = ["name", "result"];
    this.#evaluations = metrics.counter(
      name("webhook_evaluations_total"),
      "Round-trips to authorization webhooks.",
      asked,
    );
    this.#failOpen = metrics.counter(
      name("webhook_evaluations_fail_open_total"),
      "NoOpinion results due to webhook timeout or error.",
      asked,
    );
    this.#seconds = metrics.histogram(name("webhook_duration_seconds"), "Request latency in seconds.", SECONDS, asked);
    const one = ["type", "name"];
    this.#conditionErrors = metrics.counter(
      name("match_condition_evaluation_errors_total"),
      "Total number of errors when an authorization webhook encounters a match condition error split by authorizer type and name.",
      one,
    );
    this.#exclusions = metrics.counter(
      name("match_condition_exclusions_total"),
      "Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.",
      one,
    );
    this.#conditionSeconds = metrics.histogram(
      name("match_condition_evaluation_seconds"),
      "Authorization match condition evaluation time in seconds, split by authorizer type and name.",
      CONDITION_SECONDS,
      one,
    );
  }

  /** Takes over what was counted since the last time: deciding itself only adds to a number. */
  count(counts: readonly DecisionCount[]): void {
    for (const count of counts) {
      const { type, name, allowed, denied } = count;
      if (allowed > 0) this.#decisions.inc({ type, name, decision: "allowed" }, allowed);
      if (denied > 0) this.#decisions.inc({ type, name, decision: "denied" }, denied);
      count.allowed = 0;
      count.denied = 0;
    }
  }

  asked(name: string, result: string, seconds: number): void {
    this.#evaluations.inc({ name, result });
    this.#seconds.observe(seconds, { name, result });
  }

  failedOpen(name: string, result: string): void {
    this.#failOpen.inc({ name, result });
  }

  matched(name: string, seconds: number, match: Match): void {
    this.#conditionSeconds.observe(seconds, { type: TYPE, name });
    if (match === false) this.#exclusions.inc({ type: TYPE, name });
    else if (match !== true) this.#conditionErrors.inc({ type: TYPE, name });
  }
}

const hashOf = (text: string): string =>
  text === "" ? "" : `sha256:${createHash("sha256").update(text).digest("hex")}`;

/** Of the file of --authorization-config. */
export class ReloadMetrics {
  readonly #id: Record<string, string>;
  readonly #reloads: ReturnType<Metrics["counter"]>;
  readonly #lastSeconds: ReturnType<Metrics["gauge"]>;
  readonly #info: ReturnType<Metrics["gauge"]>;
  #shown: Record<string, string> | undefined;

  /** `id` is the api-server's. */
  constructor(metrics: Metrics, id: string) {
    this.#id = { apiserver_id_hash: hashOf(id) };
    const name = (rest: string): string => `apiserver_authorization_config_controller_${rest}`;
    const labels = ["status", "apiserver_id_hash"];
    this.#reloads = metrics.counter(
      name("automatic_reloads_total"),
      "Total number of automatic reloads of authorization configuration split by status and apiserver identity.",
      labels,
    );
    this.#lastSeconds = metrics.gauge(
      name("automatic_reload_last_timestamp_seconds"),
      "Timestamp of the last automatic reload of authorization configuration split by status and apiserver identity.",
      labels,
    );
    this.#info = metrics.gauge(
      name("last_config_info"),
      "Information about the last applied authorization configuration with hash as label, split by apiserver identity.",
      ["apiserver_id_hash", "hash"],
    );
  }

  reloaded(status: "success" | "failure", nowMs: number): void {
    this.#reloads.inc({ status, ...this.#id });
    this.#lastSeconds.set(nowMs / 1_000, { status, ...this.#id });
  }

  inForce(text: string): void {
    if (this.#shown !== undefined) this.#info.remove(this.#shown);
    this.#shown = { ...this.#id, hash: hashOf(text) };
    this.#info.set(1, this.#shown);
  }
}
