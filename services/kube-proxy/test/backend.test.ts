// The simulated backend keeps what the contract promises.
import { VirtualEnv } from "@coxswain/env";
import { createSimulatedBackend } from "../src/backend/simulated.ts";
import { backendSuite } from "../src/testing/backend-suite.ts";

backendSuite("simulated", () => {
  const env = new VirtualEnv({ seed: 1 });
  return {
    advance: (ms) => env.advance(ms),
    backend: createSimulatedBackend({ env, clusterCidrs: ["10.244.0.0/16"] }),
  };
});
