// The signer: issues certificates of the cluster's CA for approved requests to the signers of kubernetes.io, and marks as
// failed what its signer does not sign. Guarantee: a request gets at most one certificate, because its status is written with
// the version that was looked at.
import { CERTIFICATE_SIGNING_REQUESTS, type CertificateSigningRequest } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { CertificateAuthority } from "@coxswain/component-base/identity/signing-requests";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { awaitsSignature, refusal, requestPem, ttlMs, withFailure } from "./plan.ts";

const YEAR_MS = 8_760 * 3_600_000;

export interface SigningOptions {
  /** The longest life of a certificate, ms; a year where unset. */
  readonly clusterSigningDurationMs?: number;
}

export function createSigningController(
  context: ControllerContext,
  authority: CertificateAuthority,
  options: SigningOptions = {},
): ManagedController {
  const { client, env, informers } = context;
  const requests = informers.informer<CertificateSigningRequest>(CERTIFICATE_SIGNING_REQUESTS);
  const longestMs = options.clusterSigningDurationMs ?? YEAR_MS;

  async function reconcile(name: string): Promise<void> {
    const request = requests.lister.get(name);
    if (request === undefined || !awaitsSignature(request)) return;
    const pem = requestPem(request);
    const why = refusal(request, await authority.parse(pem));
    await store(why === undefined ? await signed(request, pem) : withFailure(request, why, env.clock.now()));
  }

  async function signed(request: CertificateSigningRequest, pem: string): Promise<CertificateSigningRequest> {
    const policy = { usages: request.spec.usages ?? [], ttlMs: ttlMs(request, longestMs) };
    const certificate = Buffer.from(await authority.sign(pem, policy)).toString("base64");
    return { ...request, status: { ...request.status, certificate } };
  }

  async function store(request: CertificateSigningRequest): Promise<void> {
    try {
      await client.update(CERTIFICATE_SIGNING_REQUESTS, request, { subresource: "status" });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  const controller = createController({ name: "certificatesigningrequest-signing-controller", reconcile }, context);
  const enqueue = (request: CertificateSigningRequest): void => {
    if (awaitsSignature(request)) controller.enqueue(request.metadata?.name ?? "");
  };
  requests.addHandler({ add: enqueue, update: enqueue });
  return { controller };
}
