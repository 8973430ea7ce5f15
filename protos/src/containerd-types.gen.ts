// Generated from the .proto files by protos/generate.ts; do not edit.


export interface Mount {
  type: string;
  source: string;
  target: string;
  options: Array<string>;
}

export interface MountInput {
  type?: string | null;
  source?: string | null;
  target?: string | null;
  options?: ReadonlyArray<string> | null;
}
