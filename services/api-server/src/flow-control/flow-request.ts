// A request as flow control knows it while it waits or executes.
import type { AuthorizationAttributes } from "../pipeline/contract.ts";

export interface FlowRequest {
  readonly schema: string;
  readonly distinguisher: string;
  readonly attributes: AuthorizationAttributes;
  /** Its turn has come. */
  let(): void;
}
