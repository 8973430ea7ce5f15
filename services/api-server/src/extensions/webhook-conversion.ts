// Converts custom resources by asking the webhook of their definition. Guarantees: all objects of a request are asked about at
// once; what cannot be converted is an error with the webhook's or its caller's words, and nothing else is served for it.
import type { ConvertObjects } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import { StatusError } from "@coxswain/apimachinery";
import type { Random } from "@coxswain/env";
import type { CallWebhook } from "../admission/dynamic/webhooks.ts";
import { acceptConverted, conversionReview, conversionVersion, kindText, readConversion } from "./conversion-review.ts";

const TIMEOUT_MS = 30_000;

export interface ConversionDeps {
  readonly random: Random;
  /** Absent: no webhook can be reached from here. */
  readonly call: CallWebhook | undefined;
}

/** Undefined where the definition's versions differ in their apiVersion alone. */
export function converterOf(deps: ConversionDeps, { spec }: CustomResourceDefinition): ConvertObjects | undefined {
  const { conversion } = spec;
  if (conversion?.strategy !== "Webhook") return undefined;
  const { clientConfig = {}, conversionReviewVersions } = conversion.webhook ?? {};
  const version = conversionVersion(conversionReviewVersions);
  const ask: ConvertObjects = async (objects, apiVersion, asker) => {
    if (version === undefined) throw new Error("failed: no supported conversion review versions");
    if (deps.call === undefined) throw new Error("failed: this api-server cannot reach webhooks");
    const uid = deps.random.uuid();
    const signal = asker?.signal ?? new AbortController().signal;
    let found: unknown[];
    try {
      const review = conversionReview(version, uid, objects, apiVersion);
      const said = await deps.call(clientConfig, review, TIMEOUT_MS, signal);
      found = readConversion(said, version, uid);
    } catch (error) {
      throw new Error(`failed: ${(error as Error).message}`, { cause: error });
    }
    if (found.length !== objects.length) {
      throw new Error(`returned ${found.length} objects, expected ${objects.length}`);
    }
    return objects.map((object, at) => acceptConverted(object, found[at], apiVersion));
  };
  return async (objects, apiVersion, asker) => {
    try {
      return await ask(objects, apiVersion, asker);
    } catch (error) {
      const message = `conversion webhook for ${kindText(objects[0] ?? {})} ${(error as Error).message}`;
      throw new StatusError("Unknown", 500, message, {}, { cause: error });
    }
  };
}
