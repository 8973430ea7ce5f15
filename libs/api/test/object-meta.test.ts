// What is refused of metadata, in upstream's words and at its places.
import { fieldErrorText, type OwnerReference } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { validateObjectMeta } from "../src/index.ts";

const errors = (meta: object): string[] =>
  validateObjectMeta({ name: "a", namespace: "b", ...meta }, { namespaced: true }).map(fieldErrorText);
const owner = (parts: Partial<OwnerReference>): OwnerReference => ({
  apiVersion: "v1",
  kind: "Pod",
  name: "p",
  uid: "u",
  ...parts,
});

test("a bad label is told at the labels", () => {
  expect(errors({ labels: { a: "not good" } })).toEqual([
    expect.stringContaining('metadata.labels: Invalid value: "not good": a valid label must'),
  ]);
});

test("what is wrong with an owner is told at the owners", () => {
  expect(errors({ ownerReferences: [owner({ apiVersion: "a/b/c" }), owner({ uid: "" })] })).toEqual([
    'metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty',
    'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
  ]);
});

test("two that own are named with their kinds", () => {
  const owners = [owner({ controller: true }), owner({ controller: true, name: "q" })];
  expect(errors({ ownerReferences: owners })).toEqual([
    expect.stringContaining('Found "true" in references for Pod/p and Pod/q'),
  ]);
});
