// Builds a kind that is another form of a stored one. What the parts do not say is done by the stored kind, to the stored
// form: so both forms have the same rules, and what is wrong is told by the fields of the stored one, as upstream tells it by
// those of its internal one.
import type { KubeObject } from "@coxswain/apimachinery";
import type { KindDefinition, ServedForm, Strategy } from "./kind.ts";

export interface FormParts<T extends KubeObject> extends Pick<
  KindDefinition<T>,
  "group" | "version" | "schemaName" | "selectableFields"
> {
  readonly form: ServedForm<T>;
  /** Of this form alone; the stored one's are filled in when an object is stored. */
  defaults?(object: T): void;
  validateCreate?(object: T): ReturnType<KindDefinition<T>["validateCreate"]>;
  validateUpdate?(object: T, old: T): ReturnType<KindDefinition<T>["validateUpdate"]>;
}

/** Lets `act` change the stored form of `object`, in place. */
function inStoredForm<T extends KubeObject>(form: ServedForm<T>, object: T, act: (stored: KubeObject) => void): void {
  const stored = form.toStored(object);
  act(stored);
  const { kind, apiVersion } = object;
  const made = form.fromStored(stored);
  for (const key of Object.keys(object)) delete (object as Record<string, unknown>)[key];
  Object.assign(object, { kind, apiVersion }, made, { kind, apiVersion });
}

function formStrategy<T extends KubeObject>(form: ServedForm<T>): Strategy<T> {
  const { strategy } = form.of;
  const toStored = (object: T): KubeObject => form.toStored(object);
  return {
    prepareForCreate: (object, context) =>
      inStoredForm(form, object, (stored) => strategy.prepareForCreate(stored, context)),
    prepareForUpdate: (object, old, context) =>
      inStoredForm(form, object, (stored) => strategy.prepareForUpdate(stored, toStored(old), context)),
    prepareForStatusUpdate: (object, old, context) =>
      inStoredForm(form, object, (stored) => strategy.prepareForStatusUpdate?.(stored, toStored(old), context)),
    allowCreateOnUpdate: strategy.allowCreateOnUpdate,
    allowUnconditionalUpdate: strategy.allowUnconditionalUpdate,
    defaultPropagation: strategy.defaultPropagation,
    warnings: (object, old) => strategy.warnings?.(toStored(object), old && toStored(old)) ?? [],
  };
}

/** The kind of `parts.form.of` under another group or version. */
export function defineForm<T extends KubeObject>(parts: FormParts<T>): KindDefinition<T> {
  const { form } = parts;
  const { of } = form;
  const toStored = (object: T): KubeObject => form.toStored(object);
  return {
    kind: of.kind,
    listKind: of.listKind,
    resource: of.resource,
    singular: of.singular,
    shortNames: of.shortNames,
    categories: of.categories,
    namespaced: of.namespaced,
    verbs: of.verbs,
    stored: of.stored,
    hasStatus: of.hasStatus,
    subresources: of.subresources,
    returnDeletedObject: of.returnDeletedObject,
    columns: of.columns,
    row: (object, context) => of.row(toStored(object), context),
    defaults: () => {},
    validateCreate: (object) => of.validateCreate(toStored(object)),
    validateUpdate: (object, old) => of.validateUpdate(toStored(object), toStored(old)),
    validateStatusUpdate: (object, old) => of.validateStatusUpdate?.(toStored(object), toStored(old)) ?? [],
    strategy: formStrategy(form),
    ...parts,
  };
}
