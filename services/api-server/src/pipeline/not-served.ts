// What is answered where nobody serves what is asked for: no such path, or no such method there. Pure.
import { StatusError } from "@coxswain/apimachinery";

export function methodNotAllowed(): StatusError {
  return new StatusError("MethodNotAllowed", 405, "the server does not allow this method on the requested resource");
}

export function resourceNotFound(): StatusError {
  return new StatusError("NotFound", 404, "the server could not find the requested resource");
}
