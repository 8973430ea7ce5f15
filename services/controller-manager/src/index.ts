// What the simulator and tests make of the controller-manager.
export * from "./app.ts";
