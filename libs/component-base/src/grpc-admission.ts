// What the server knows of a call that it let in: the peer's credentials, and the user they proved.
import type { UserInfo } from "./contract.ts";
import type { Credentials } from "./credentials.ts";

export interface Admission {
  readonly credentials: Credentials;
  /** Absent only on services that are open to all. */
  readonly user?: UserInfo;
}

const admissions = new WeakMap<object, Admission>();

export function recordAdmission(call: object, admission: Admission): void {
  admissions.set(call, admission);
}

/** Throws where the call did not come through createGrpcServer. */
export function admissionOf(call: object): Admission {
  const admission = admissions.get(call);
  if (admission === undefined) throw new Error("this call did not come through createGrpcServer");
  return admission;
}
