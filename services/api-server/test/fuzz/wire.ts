// Rubbish below HTTP: broken heads, WebSocket frames, HTTP/2 and gRPC messages, straight onto TLS connections.
import { connect, type TLSSocket } from "node:tls";
import { connect as connectHttp2 } from "node:http2";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Values } from "./values.ts";

const HEADS = [
  "GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
  "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n{}",
  "POST /api/v1/namespaces/default/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{",
  "GET /api HTTP/9.9\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "GET  HTTP/1.1\r\n\r\n",
  `GET /api HTTP/1.1\r\nX: ${"y".repeat(40_000)}\r\n\r\n`,
  "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
  "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n",
];
const UPGRADES = [
  "/api/v1/namespaces/default/pods/a/exec?command=x&stdin=1",
  "/api/v1/namespaces/default/pods/a/portforward?ports=80",
  "/api/v1/namespaces/default/pods/a/attach",
  "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1",
  "/api/v1/namespaces/default/services/a/proxy/",
  "/api/v1/nope",
  "/%zz",
];
const PROTOCOLS = [
  "v5.channel.k8s.io",
  "v4.channel.k8s.io",
  "base64.channel.k8s.io",
  "SPDY/3.1+portforward.k8s.io",
  "x",
];
const GRPC_PATHS = ["Get", "List", "Watch", "Create", "Update", "Patch", "Delete", "DeleteCollection", "Batch", "Nope"];
const ANSWER_MS = 150;

function upgradeHead(values: Values): string {
  const spdy = values.chance(0.2);
  return (
    `GET ${values.pick(UPGRADES)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n` +
    (spdy
      ? "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
      : `Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${values.pick(PROTOCOLS)}\r\n\r\n`)
  );
}

/** A frame with a good head now and then, and a length that may lie. */
function frame(values: Values): Buffer {
  const payload = values.random.bytes(values.random.int(120));
  if (values.chance(0.2)) return payload;
  const claimed = values.chance(0.8) ? payload.length : values.random.int(126);
  const first = values.pick([0x80, 0x81, 0x82, 0x88, 0x89, 0x00, 0x01, 0xf2]);
  return Buffer.concat([Buffer.from([first, 0x80 | claimed]), Buffer.alloc(4), payload]);
}

function settled(socket: TLSSocket, write: () => void): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(late);
      socket.destroy();
      resolve();
    };
    // Nothing is owed to rubbish but an end; a peer that keeps silent is left.
    const late = setTimeout(end, ANSWER_MS);
    socket.once("secureConnect", write).on("error", end).on("close", end).resume();
  });
}

/** One connection's worth of rubbish to the REST port. */
export async function sendRubbish(values: Values, port: number, tls: TlsMaterial): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port, ...tls, servername: "localhost" });
  const upgrade = values.chance(0.6);
  const head = Buffer.from(upgrade ? upgradeHead(values) : values.pick(HEADS));
  const rest = upgrade ? Array.from({ length: values.random.int(5) }, () => frame(values)) : [];
  const bytes = Buffer.concat([values.chance(0.3) ? values.damage(head) : head, ...rest]);
  await settled(socket, () => void socket.write(bytes));
}

/** A few calls of the gRPC port with messages that are not what they claim. */
export async function sendGrpcRubbish(values: Values, address: string, tls: TlsMaterial): Promise<void> {
  const session = connectHttp2(`https://${address}`, { ...tls, servername: "localhost" });
  session.on("error", () => {});
  const calls = Array.from({ length: 4 }, () => grpcCall(values, session));
  await Promise.all(calls);
  session.destroy();
}

function grpcCall(values: Values, session: ReturnType<typeof connectHttp2>): Promise<void> {
  return new Promise((resolve) => {
    const path = `/coxswain.api.v1.${values.chance(0.9) ? "Resources" : "Nope"}/${values.pick(GRPC_PATHS)}`;
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const end = (): void => {
      clearTimeout(late);
      stream.close();
      resolve();
    };
    const late = setTimeout(end, ANSWER_MS);
    stream.on("error", end).on("close", end).resume();
    const message = values.random.bytes(values.random.int(60));
    const claimed = values.chance(0.8) ? message.length : values.random.int(2 ** 31);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(claimed, 1);
    stream.end(Buffer.concat([head, message]));
  });
}
