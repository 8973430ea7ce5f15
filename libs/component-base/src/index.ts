// The contract of a component, free of wire libraries: apps and the simulator import this, mains import the files beside it.
export * from "./contract.ts";
