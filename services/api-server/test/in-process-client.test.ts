// The in-process client on a whole api-server with memory doubles, against the contract that every ResourceClient keeps.
import { afterAll, beforeAll } from "vitest";
import { resourceClientSuite } from "@coxswain/client/testing/resource-client-suite";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(async () => {
  await server.stop();
});

resourceClientSuite("in-process", { makeClient: () => server.client });
