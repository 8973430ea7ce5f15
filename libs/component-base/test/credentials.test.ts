// The user that a client certificate names.
import { expect, test } from "vitest";
import { certificateUser } from "../src/credentials.ts";

/** CN=joe, O=team, and abc-123 as 1.3.6.1.4.1.57683.2. */
const WITH_UID =
  "MIIBZDCCAQsCFGPH3vDpyUPm4KatjrqDiWb+q0uiMAoGCCqGSM49BAMCMDUxDDAKBgNVBAMMA2pvZTENMAsGA1UECgwEdGVhbTEWMBQGCSsGAQQBg8JTAgwHYWJjLTEyMzAeFw0yNjExMjkyMTU4MjZaFw0yNjEyMDEyMTU4MjZaMDUxDDAKBgNVBAMMA2pvZTENMAsGA1UECgwEdGVhbTEWMBQGCSsGAQQBg8JTAgwHYWJjLTEyMzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFqyBnbltNqv/5VGQJzERqdrDiZ8sMQv9QJKxWlefji3eiTEz9Fn7nEf7cSv3UpB1dicMpSePAiVoClmDJeAhNQwCgYIKoZIzj0EAwIDRwAwRAIgFbHxPzU3MNeQMy1VxDI/mpNzaOpcO5YV30FuK97vqtMCIH9gqdJby20omKtFgqaDgSitmm3tAK0ePgNJVeBBmha/";

/** CN=joe, and two of them. */
const TWO_UIDS =
  "MIIBZzCCAQ0CFFA9kiyytBL7+yDQit/PJYGH/ecgMAoGCCqGSM49BAMCMDYxDDAKBgNVBAMMA2pvZTESMBAGCSsGAQQBg8JTAgwDYWJjMRIwEAYJKwYBBAGDwlMCDANkZWYwHhcNMjYxMTI5MjIwNTIyWhcNMjYxMjAxMjIwNTIyWjA2MQwwCgYDVQQDDANqb2UxEjAQBgkrBgEEAYPCUwIMA2FiYzESMBAGCSsGAQQBg8JTAgwDZGVmMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESib/DZuVd5fPL3LoTev68UKfRkQaX5O1tr9VtlIlukOjCD+gHl2aYjU1Xmbwh9/kkDe2KPe2o35PS1WJTn1gqTAKBggqhkjOPQQDAgNIADBFAiEAmFY9KnqtGV7M4MiIOfIp8JHu4KlM6sa7YNVwvL761YgCIFHAaLCNXkHrep3uKSjQlemgc7M4DjbHBVakY9icP50Z";

test("a certificate names a user by common name, organizations and, where it has it, uid", () => {
  expect(certificateUser(Buffer.from(WITH_UID, "base64"))).toMatchObject({
    username: "joe",
    uid: "abc-123",
    groups: ["team", "system:authenticated"],
  });
});

test("one with two uids names nobody", () => {
  const der = Buffer.from(TWO_UIDS, "base64");
  expect(certificateUser(der)).toBeUndefined();
});
