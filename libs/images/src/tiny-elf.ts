// The pause program, assembled by hand: a static executable of about 300 bytes that holds a pod's namespaces. Guarantees:
// - As process 1 of a shared process namespace it leaves no zombies: SIGCHLD is ignored, so the kernel reaps.
// - SIGTERM and SIGINT end it at once. Process 1 gets no signal that it does not handle; a blocked one it does get, so both
//   are blocked and waited for.
const SIGINT = 2;
const SIGTERM = 15;
const SIGCHLD = 17;
const SIG_IGN = 1n;
const SA_NOCLDWAIT = 2n;

const LOAD_ADDRESS = 0x400000n;
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const CODE_AT = ELF_HEADER + PROGRAM_HEADER;

/** Data that both programs use: a signal set, and a sigaction that ignores. */
function data(): { bytes: Buffer; setAt: number; actionAt: number } {
  const bytes = Buffer.alloc(8 + 32);
  bytes.writeBigUInt64LE((1n << BigInt(SIGINT - 1)) | (1n << BigInt(SIGTERM - 1)), 0);
  bytes.writeBigUInt64LE(SIG_IGN, 8);
  bytes.writeBigUInt64LE(SA_NOCLDWAIT, 16);
  return { bytes, setAt: 0, actionAt: 8 };
}

function word(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff];
}

/** x86-64: the number of the system call in eax, arguments in rdi, rsi, rdx, r10. */
function x64Code(): Buffer {
  const { bytes, setAt, actionAt } = data();
  const code: number[] = [];
  const patches: { at: number; target: number }[] = [];
  const eax = (value: number): unknown => code.push(0xb8, ...word(value)); // mov eax, value
  const address = (opcode: number, target: number): void => {
    code.push(0x48, 0x8d, opcode, 0, 0, 0, 0); // lea register, [rip + distance]
    patches.push({ at: code.length - 4, target });
  };
  const rsi = 0x35;
  const rdi = 0x3d;
  const noThirdSetOf8 = (): unknown => code.push(0x31, 0xd2, 0x41, 0xba, ...word(8)); // xor edx, edx; mov r10d, 8
  const syscall = (): unknown => code.push(0x0f, 0x05);

  eax(13); // rt_sigaction(SIGCHLD, &action, null, 8)
  code.push(0xbf, ...word(SIGCHLD)); // mov edi, SIGCHLD
  address(rsi, actionAt);
  noThirdSetOf8();
  syscall();
  eax(14); // rt_sigprocmask(SIG_BLOCK = 0, &set, null, 8)
  code.push(0x31, 0xff); // xor edi, edi
  address(rsi, setAt);
  noThirdSetOf8();
  syscall();
  const wait = code.length;
  eax(128); // rt_sigtimedwait(&set, null, null, 8)
  address(rdi, setAt);
  code.push(0x31, 0xf6); // xor esi, esi
  noThirdSetOf8();
  syscall();
  code.push(0x85, 0xc0); // test eax, eax
  code.push(0x78, (wait - (code.length + 2)) & 0xff); // js wait: interrupted
  eax(231); // exit_group(0)
  code.push(0x31, 0xff);
  syscall();
  while (code.length % 8 !== 0) code.push(0x90);
  const text = Buffer.from(code);
  for (const { at, target } of patches) text.writeInt32LE(text.length + target - (at + 4), at);
  return Buffer.concat([text, bytes]);
}

/** arm64: the number of the system call in x8, arguments in x0 to x3. */
function arm64Code(): Buffer {
  const { bytes, setAt, actionAt } = data();
  const length = 24;
  const code: number[] = [];
  const move = (register: number, value: number): unknown => code.push((0xd2800000 | (value << 5) | register) >>> 0);
  const address = (register: number, target: number): void => {
    const distance = (length - code.length) * 4 + target;
    code.push((0x10000000 | ((distance & 3) << 29) | ((distance >> 2) << 5) | register) >>> 0); // adr
  };
  const syscall = (number: number): void => {
    move(8, number);
    code.push(0xd4000001); // svc #0
  };
  move(0, SIGCHLD); // rt_sigaction(SIGCHLD, &action, null, 8)
  address(1, actionAt);
  move(2, 0);
  move(3, 8);
  syscall(134);
  move(0, 0); // rt_sigprocmask(SIG_BLOCK = 0, &set, null, 8)
  address(1, setAt);
  move(2, 0);
  move(3, 8);
  syscall(135);
  const wait = code.length;
  address(0, setAt); // rt_sigtimedwait(&set, null, null, 8)
  move(1, 0);
  move(2, 0);
  move(3, 8);
  syscall(137);
  const back = (wait - code.length) & 0x3fff;
  code.push((0xb7000000 | (31 << 19) | (back << 5)) >>> 0); // tbnz x0, #63, wait: interrupted
  move(0, 0); // exit_group(0)
  syscall(94);
  while (code.length < length) code.push(0xd503201f); // nop
  const text = Buffer.alloc(length * 4);
  for (const [at, instruction] of code.entries()) text.writeUInt32LE(instruction, at * 4);
  return Buffer.concat([text, bytes]);
}

/** The whole executable: one header, one segment that is read and run. */
function executable(code: Buffer, machine: number): Buffer {
  const size = BigInt(CODE_AT + code.length);
  const header = Buffer.alloc(CODE_AT);
  header.write("\x7fELF", 0, "latin1");
  header.set([2, 1, 1], 4); // 64 bits, little-endian, version 1
  header.writeUInt16LE(2, 16); // an executable
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(LOAD_ADDRESS + BigInt(CODE_AT), 24); // entry
  header.writeBigUInt64LE(BigInt(ELF_HEADER), 32); // program headers
  header.writeUInt16LE(ELF_HEADER, 52);
  header.writeUInt16LE(PROGRAM_HEADER, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt16LE(64, 58); // size of a section header; there are none
  const segment = header.subarray(ELF_HEADER);
  segment.writeUInt32LE(1, 0); // PT_LOAD
  segment.writeUInt32LE(5, 4); // read, execute
  segment.writeBigUInt64LE(LOAD_ADDRESS, 16);
  segment.writeBigUInt64LE(LOAD_ADDRESS, 24);
  segment.writeBigUInt64LE(size, 32);
  segment.writeBigUInt64LE(size, 40);
  segment.writeBigUInt64LE(0x10000n, 48);
  return Buffer.concat([header, code]);
}

const EM_X86_64 = 62;
const EM_AARCH64 = 183;

/** The pause program for an architecture. */
export function pauseProgram(architecture: "amd64" | "arm64"): Buffer {
  return architecture === "amd64" ? executable(x64Code(), EM_X86_64) : executable(arm64Code(), EM_AARCH64);
}
