// What the plugins of one request keep between the two rounds of the mutating chain. Guarantee: the chain goes round twice at
// most, and the second time only where a plugin that others can see has changed the object.
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy
export class Reinvocation {
  #requested = false;
  #second = false;
  readonly #kept = new Map<object, unknown>();

  /** True in the second round. */
  get second(): boolean {
    return this.#second;
  }

  request(): void {
    this.#requested = true;
  }

  /** Says whether there is a second round, and begins it. */
  begin(): boolean {
    if (this.#second || !this.#requested) return false;
    this.#second = true;
    return true;
  }

  /** What `owner` keeps; made when it is asked for first. */
  kept<T>(owner: object, make: () => T): T {
    if (!this.#kept.has(owner)) this.#kept.set(owner, make());
    return this.#kept.get(owner) as T;
  }
}
