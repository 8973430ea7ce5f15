// The approver of kubelets' client certificates: approves what the requestor has the permission for, and leaves everything
// else to people. Guarantee: it never decides about a request that is decided.
import {
  CERTIFICATE_SIGNING_REQUESTS,
  SUBJECT_ACCESS_REVIEWS,
  type CertificateSigningRequest,
  type SubjectAccessReview,
} from "@coxswain/api";
import { isReason, type KubeObject } from "@coxswain/apimachinery";
import type { CertificateAuthority } from "@coxswain/component-base/identity/signing-requests";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { isUndecided, KUBELET_CLIENT, planApproval, requestPem, withApproval } from "./plan.ts";

export function createApprovingController(
  context: ControllerContext,
  authority: Pick<CertificateAuthority, "parse">,
): ManagedController {
  const { client, informers } = context;
  const requests = informers.informer<CertificateSigningRequest>(CERTIFICATE_SIGNING_REQUESTS);

  async function reconcile(name: string): Promise<void> {
    const request = requests.lister.get(name);
    if (request === undefined || !isUndecided(request) || request.spec.signerName !== KUBELET_CLIENT) return;
    const asked = await authority.parse(requestPem(request));
    for (const { subresource, message } of planApproval(request, asked)) {
      if (!(await isAllowed(request, subresource))) continue;
      try {
        await client.update(CERTIFICATE_SIGNING_REQUESTS, withApproval(request, message), { subresource: "approval" });
      } catch (error) {
        // Somebody decided meanwhile; the cache's next change leads back here.
        if (!isReason(error, "NotFound", "Conflict")) throw error;
      }
      return;
    }
  }

  async function isAllowed({ spec }: CertificateSigningRequest, subresource: string): Promise<boolean> {
    const review: SubjectAccessReview & KubeObject = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        user: spec.username ?? "",
        groups: spec.groups ?? [],
        ...(spec.uid === undefined ? {} : { uid: spec.uid }),
        ...(spec.extra === undefined ? {} : { extra: spec.extra }),
        resourceAttributes: {
          verb: "create",
          group: "certificates.k8s.io",
          version: "*",
          resource: "certificatesigningrequests",
          subresource,
        },
      },
    };
    const answer = await client.create(SUBJECT_ACCESS_REVIEWS, review);
    return answer.status?.allowed === true;
  }

  const controller = createController({ name: "certificatesigningrequest-approving-controller", reconcile }, context);
  const enqueue = (request: CertificateSigningRequest): void => {
    if (isUndecided(request)) controller.enqueue(request.metadata?.name ?? "");
  };
  requests.addHandler({ add: enqueue, update: enqueue });
  return { controller };
}
