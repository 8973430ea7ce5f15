// What a request carries while it is answered: a signal that is made on demand, headers that any way of answering tells.
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Flight } from "../src/rest/flight.ts";
import { sendAtOnce } from "../src/rest/respond.ts";

const BODY = Buffer.from('{"kind":"Pod"}');
const encoded = { contentType: "application/json", parts: [BODY], length: BODY.length };

let server: Server;
let answer: (flight: Flight) => void;

beforeAll(async () => {
  server = createServer((request, response) => answer(flightOf(request, response)));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
});

afterAll(
  () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
);

function flightOf(request: IncomingMessage, response: ServerResponse): Flight {
  return new Flight(request, response, { auditId: "an-id", startedMs: 0, limitMs: 1 });
}

/** The head as it came, name by name, and the body. */
function ask(how: (flight: Flight) => void): Promise<{ code: number; head: string[][]; text: string }> {
  answer = how;
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const request = get({ host: "127.0.0.1", port, path: "/" }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => {
        const raw = response.rawHeaders;
        const head = raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1]!]] : []));
        resolve({ code: response.statusCode!, head, text });
      });
    });
    request.on("error", reject);
  });
}

const own = (head: string[][]): string[][] =>
  head.filter(([name]) => !["Date", "Connection", "Keep-Alive"].includes(name!));

describe("the signal", () => {
  const made = (): Flight => flightOf({} as IncomingMessage, {} as ServerResponse);

  test("aborts when the request is over", () => {
    const flight = made();
    const { signal } = flight;
    expect(signal.aborted).toBe(false);
    flight.abort();
    expect([signal.aborted, flight.signal === signal]).toEqual([true, true]);
  });

  test("that is asked for when the request is over already is aborted", () => {
    const flight = made();
    flight.abort();
    expect(flight.signal.aborted).toBe(true);
    expect((flight.signal.reason as Error).name).toBe("AbortError");
  });
});

describe("the head", () => {
  const told = [
    ["Audit-Id", "an-id"],
    ["Cache-Control", "no-cache, private"],
    ["Warning", "one"],
    ["Warning", "two"],
  ];
  const body = [
    ["Content-Type", "application/json"],
    ["Content-Length", String(BODY.length)],
  ];

  function tell(flight: Flight): void {
    flight.tell("Warning", "one");
    flight.tell("Warning", "two");
  }

  test("is the same written at once and header by header", async () => {
    const atOnce = await ask((flight) => {
      tell(flight);
      expect(sendAtOnce(flight.request, flight.response, flight.headers, { code: 201, encoded })).toBe(true);
    });
    const each = await ask((flight) => {
      tell(flight);
      flight.setHeaders();
      flight.response.writeHead(201, Object.fromEntries(body)).end(BODY);
    });
    expect({ ...atOnce, head: own(atOnce.head) }).toEqual({
      code: 201,
      head: [...told, ...body],
      text: BODY.toString(),
    });
    expect({ ...each, head: own(each.head) }).toEqual({ ...atOnce, head: own(atOnce.head) });
  });

  test("is left to others where somebody has set a header, or has answered", async () => {
    const { head } = await ask(({ request, response, headers }) => {
      response.setHeader("X-Set", "before");
      expect(sendAtOnce(request, response, headers, { code: 200, encoded })).toBe(false);
      response.end();
      expect(sendAtOnce(request, response, headers, { code: 200, encoded })).toBe(false);
    });
    expect(own(head)).toContainEqual(["X-Set", "before"]);
    expect(own(head)).not.toContainEqual(told[0]);
  });

  test("tells what was told once", async () => {
    const { head } = await ask((flight) => {
      flight.setHeaders();
      flight.tell("Warning", "late");
      flight.setHeaders();
      flight.response.end();
      flight.setHeaders();
    });
    expect(own(head).filter(([name]) => name === "Audit-Id" || name === "Warning")).toEqual([
      ["Audit-Id", "an-id"],
      ["Warning", "late"],
    ]);
  });
});
