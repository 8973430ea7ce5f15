// One exec call over gRPC: the first message starts it, the next are input and sizes; output goes back as it comes, the
// exit code last. Guarantees: input ends when the client says so or goes away, and output stays in order.
import { newBadRequest } from "@coxswain/apimachinery";
import type { ResponseStream } from "@coxswain/component-base/grpc-service";
import type { ExecRequest, ExecRequest_Start, ExecResponseInput } from "@coxswain/protos/kubelet-v1.gen";
import type { ExecIo } from "../cri/contract.ts";

/** A queue that is read as an async iterable. */
class Channel<T> {
  #items: T[] = [];
  #over = false;
  #wake: (() => void) | undefined;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  end(): void {
    this.#over = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      const items = this.#items;
      this.#items = [];
      yield* items;
      if (this.#items.length > 0) continue;
      if (this.#over) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export type RunExec = (start: ExecRequest_Start, io: ExecIo, signal: AbortSignal) => Promise<number>;

/** Serves one call; `run` does the work. */
export async function serveExec(
  requests: AsyncIterable<ExecRequest>,
  responses: ResponseStream<ExecResponseInput>,
  signal: AbortSignal,
  run: RunExec,
): Promise<void> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  const start = first.done === true ? undefined : first.value.start;
  if (!start) throw newBadRequest("the first message of an exec call must carry start");
  const stdin = new Channel<Buffer>();
  const resize = new Channel<{ width: number; height: number }>();
  const reading = readInput(iterator, stdin, resize);
  signal.addEventListener("abort", () => stdin.end(), { once: true });
  let sending = Promise.resolve();
  const send = (message: ExecResponseInput): void => {
    sending = sending.then(() => responses.send(message));
    // Awaited below; a client that has gone must not be an unhandled rejection until then.
    sending.catch(() => undefined);
  };
  const io: ExecIo = {
    ...(start.stdin ? { stdin } : {}),
    resize,
    stdout: (data) => send({ stdout: data }),
    stderr: (data) => send({ stderr: data }),
  };
  const exitCode = await run(start, io, signal);
  send({ exitCode });
  await sending;
  void reading;
}

/** Ends both channels when the client has sent everything, or is gone. */
async function readInput(
  iterator: AsyncIterator<ExecRequest>,
  stdin: Channel<Buffer>,
  resize: Channel<{ width: number; height: number }>,
): Promise<void> {
  try {
    for (;;) {
      const next = await iterator.next();
      if (next.done === true) break;
      const { message } = next.value;
      if (message === "stdin") stdin.push(next.value.stdin ?? Buffer.alloc(0));
      else if (message === "stdinEof") stdin.end();
      else if (message === "resize" && next.value.resize) resize.push(next.value.resize);
    }
  } catch {
    // The call was cut: its signal tells the same to whoever waits.
  }
  stdin.end();
  resize.end();
}
