// Group and version literals, and the bodies that subresources take, as discovery names them.
export const RBAC = "rbac.authorization.k8s.io";
export const AUTHENTICATION = "authentication.k8s.io";
export const AUTHORIZATION = "authorization.k8s.io";
export const SCALE = ["autoscaling", "v1", "Scale"] as const;
