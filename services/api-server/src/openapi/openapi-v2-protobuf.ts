// The OpenAPI v2 document as protobuf (gnostic's openapi.v2.Document), with no paths and no definitions: clients then leave
// validation to the server. kubectl reads it for `kind: List`, which no v3 document describes.

/** A length-delimited field of a message. Lengths here are below 128, so that one byte holds them. */
function field(number: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
}

/** Fields: swagger 1, info 2 (title 1, version 2), paths 8. */
export function emptyV2Document(): Buffer {
  const info = Buffer.concat([field(1, Buffer.from("Kubernetes")), field(2, Buffer.from("v1.35.2"))]);
  return Buffer.concat([field(1, Buffer.from("2.0")), field(2, info), field(8, Buffer.alloc(0))]);
}
