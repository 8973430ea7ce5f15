// The double of the cluster's certificate authority: it gives out one certificate, whatever is asked for, and beside it are the two
// requests that the simulated cluster makes. Real keys would be drawn outside of the seed. Services load the reader of requests when
// they need it first: as it is loaded here, no file is read in the middle of a run.
import { parseSigningRequest, type CertificateAuthority } from "@coxswain/component-base/identity/signing-requests";

/** Of a node's kubelet, system:node:guest. */
export const NODE_REQUEST = `-----BEGIN CERTIFICATE REQUEST-----
MIHvMIGVAgEAMDMxFTATBgNVBAoMDHN5c3RlbTpub2RlczEaMBgGA1UEAwwRc3lz
dGVtOm5vZGU6Z3Vlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT1tdVjfebq
cBVEh/yXW+7M441RS/jVtUhjtkgw0kO2HfbycN/s2rM+dwuNJCTzgV5cEDdqTyhR
nMAlvxSI6qsMoAAwCgYIKoZIzj0EAwIDSQAwRgIhALaDkjDdFZdWvxJqx9pf04pO
LScdKjC9/EQCyKOcaIceAiEA5Eubdn5hjPqiw1C+ucxAx1qTt9wj2JzDqj5hStp2
ZyQ=
-----END CERTIFICATE REQUEST-----
`;

/** Of a person, jane. */
export const PERSON_REQUEST = `-----BEGIN CERTIFICATE REQUEST-----
MIHaMIGBAgEAMB8xDjAMBgNVBAoMBXN0YWZmMQ0wCwYDVQQDDARqYW5lMFkwEwYH
KoZIzj0CAQYIKoZIzj0DAQcDQgAEpjEkORi3Gr24Xv8sg6KXADnEXjeXrPcmnJOQ
yJA3U73vyZ2xLlaBZAxvk+C8f5i1VKR3xIPF6ki296LOL1ypb6AAMAoGCCqGSM49
BAMCA0gAMEUCIAgbtAyCEE7ZF333MXnETGI27RaGUEErD5ZpD0lfnTUEAiEAtsUb
nC0vpdKDnGCVwodY8PTNkZ6OAXiiCL680M/Xhi0=
-----END CERTIFICATE REQUEST-----
`;

const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUb5I54kSusU+PVWFdK8jzYj6z1XMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJc2ltdWxhdGVkMCAXDTI2MTEzMDE5MTcyNFoYDzIxMjYxMTA2
MTkxNzI0WjAUMRIwEAYDVQQDDAlzaW11bGF0ZWQwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATUrYYiMbeCX30ilEVLGPKJq6AD7o7PcMtdJU7RHbYu69sjZJkBGGRy
MBDqi9n4mLxWekkvPPo6xqygi/ErxYMro1MwUTAdBgNVHQ4EFgQUlJVcp2NHbaf5
BXbnc/YUBs/I6NEwHwYDVR0jBBgwFoAUlJVcp2NHbaf5BXbnc/YUBs/I6NEwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAuZgHL8LHrVBtQnto8V2p
lLT5Atg3gXcYWoF6aEZNvswCIQCoQVl0Kgu5zF7Z5bc1pJm2Rg8CKRKmd/YQ945a
yzfQiQ==
-----END CERTIFICATE-----
`;

export function createSimAuthority(): CertificateAuthority {
  return {
    parse: async (pem) => parseSigningRequest(pem),
    sign: async () => CERTIFICATE,
  };
}
