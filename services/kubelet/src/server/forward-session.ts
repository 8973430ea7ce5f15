// One connection to a port of a pod over gRPC: the first message says where to, the next carry what the client sends.
// Guarantees: neither side is read faster than the other takes it; the end of the requests closes that direction only.
import { newBadRequest } from "@coxswain/apimachinery";
import type { ResponseStream } from "@coxswain/component-base/grpc-service";
import type {
  PortForwardRequest,
  PortForwardRequest_Start,
  PortForwardResponseInput,
} from "@coxswain/protos/kubelet-v1.gen";
import type { ForwardIo } from "../cri/contract.ts";

const MAX_PORT = 65_535;

async function* inputOf(requests: AsyncIterator<PortForwardRequest>): AsyncIterable<Buffer> {
  try {
    for (;;) {
      const next = await requests.next();
      if (next.done === true) return;
      const { data } = next.value;
      if (data !== undefined && data.length > 0) yield data;
    }
  } catch {
    // The call was cut: its signal tells the same to whoever waits.
  }
}

/** Resolves when the connection has ended. Rejects with StatusError, or with what `connect` rejects with. */
export async function serveForward(
  requests: AsyncIterable<PortForwardRequest>,
  responses: ResponseStream<PortForwardResponseInput>,
  connect: (start: PortForwardRequest_Start, io: ForwardIo) => Promise<void>,
): Promise<void> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  const start = first.done === true ? undefined : first.value.start;
  if (!start) throw newBadRequest("the first message of the call must carry start");
  if (start.port < 1 || start.port > MAX_PORT)
    throw newBadRequest(`port ${start.port} must be between 1 and ${MAX_PORT}`);
  await connect(start, { input: inputOf(iterator), output: (data) => responses.send({ data }) });
}
