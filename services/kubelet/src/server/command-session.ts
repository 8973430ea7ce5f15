// One exec or attach call over gRPC: the first message starts it, the next are input and sizes; output goes back as it
// comes. Guarantees: input ends when the client says so or goes away; output stays in order; neither side is read faster
// than the other takes it, where the runtime asks `drained`.
import { newBadRequest } from "@coxswain/apimachinery";
import type { ResponseStream } from "@coxswain/component-base/grpc-service";
import type { ExecIo } from "../cri/contract.ts";
import { InputQueue } from "./input-queue.ts";

interface Size {
  readonly width: number;
  readonly height: number;
}

/** ExecRequest and AttachRequest alike. */
export interface CommandMessage<Start> {
  readonly start?: Start | null;
  readonly stdin?: Buffer;
  readonly stdinEof?: boolean;
  readonly resize?: Size | null;
  readonly message?: "start" | "stdin" | "stdinEof" | "resize";
}

export interface CommandOutput {
  readonly stdout?: Buffer;
  readonly stderr?: Buffer;
}

/** Serves one call up to its last output; `run` does the work and its result is the caller's. Rejects with StatusError. */
export async function serveCommand<Start extends { readonly stdin: boolean }, Result>(
  requests: AsyncIterable<CommandMessage<Start>>,
  responses: ResponseStream<CommandOutput>,
  signal: AbortSignal,
  run: (start: Start, io: ExecIo) => Promise<Result>,
): Promise<Result> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  const start = first.done === true ? undefined : first.value.start;
  if (!start) throw newBadRequest("the first message of the call must carry start");
  const stdin = new InputQueue<Buffer>();
  const resize = new InputQueue<Size>();
  const endInput = (): void => {
    stdin.end();
    resize.end();
  };
  signal.addEventListener("abort", endInput, { once: true });
  void readInput(iterator, start.stdin, stdin, resize).then(endInput);
  let sending = Promise.resolve();
  const send = (message: CommandOutput): void => {
    sending = sending.then(() => responses.send(message));
    // Awaited below; a client that has gone must not be an unhandled rejection until then.
    sending.catch(() => undefined);
  };
  const io: ExecIo = {
    ...(start.stdin ? { stdin } : {}),
    resize,
    stdout: (data) => send({ stdout: data }),
    stderr: (data) => send({ stderr: data }),
    drained: () => sending,
  };
  try {
    return await run(start, io);
  } finally {
    endInput();
    await sending;
  }
}

/** Resolves when the client has sent everything, or is gone. */
async function readInput<Start>(
  iterator: AsyncIterator<CommandMessage<Start>>,
  takesStdin: boolean,
  stdin: InputQueue<Buffer>,
  resize: InputQueue<Size>,
): Promise<void> {
  try {
    for (;;) {
      const next = await iterator.next();
      if (next.done === true) return;
      const { value } = next;
      if (value.message === "stdin" && takesStdin) await stdin.push(value.stdin ?? Buffer.alloc(0));
      else if (value.message === "stdinEof") stdin.end();
      else if (value.message === "resize" && value.resize) await resize.push(value.resize);
    }
  } catch {
    // The call was cut: its signal tells the same to whoever waits.
  }
}
