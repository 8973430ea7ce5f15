// VolumeAttachment: the wish that a volume be attached to a node, and whether it is.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldRequired, fieldTooLong, validateDns1123Subdomain } from "@coxswain/apimachinery";
import { validateInlineVolume } from "../../core-v1/persistent-volume/persistent-volume.ts";
import { defineKind, keepMetadata, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { VolumeAttachment } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateDriverName } from "../driver-name.ts";

function validate({ spec }: VolumeAttachment): FieldError[] {
  const source = spec?.source ?? {};
  const errors = validateDriverName(spec?.attacher, "spec.attacher");
  if (source.inlineVolumeSpec === undefined && source.persistentVolumeName === undefined) {
    errors.push(fieldRequired("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName"));
  } else if (source.inlineVolumeSpec !== undefined && source.persistentVolumeName !== undefined) {
    const detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    errors.push(fieldForbidden("spec.source", detail));
  } else if (source.persistentVolumeName === "") {
    errors.push(fieldRequired("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"));
  } else if (source.inlineVolumeSpec !== undefined) {
    errors.push(...validateInlineVolume(source.inlineVolumeSpec, "spec.source.inlineVolumeSpec"));
  }
  return [...errors, ...validateWith(validateDns1123Subdomain, spec?.nodeName, "spec.nodeName")];
}

/** The name of a volume is looked at once; it never changes. */
function validateNew(attachment: VolumeAttachment): FieldError[] {
  const name = attachment.spec?.source?.persistentVolumeName;
  const named =
    name === undefined ? [] : validateWith(validateDns1123Subdomain, name, "spec.source.persistentVolumeName");
  return [...validate(attachment), ...named];
}

const MAX_MESSAGE = 1024;
/** Upstream's own: the limit that a refusal names is another one. */
const NAMED_LIMIT = 256 * 1024;

function validateStatus({ status }: VolumeAttachment): FieldError[] {
  return (["attachError", "detachError"] as const).flatMap((name) => {
    const long = (status?.[name]?.message?.length ?? 0) > MAX_MESSAGE;
    return long ? [fieldTooLong(`status.${name}.message`, NAMED_LIMIT)] : [];
  });
}

export const volumeAttachmentKind = defineKind<VolumeAttachment>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttachment",
  resource: "volumeattachments",
  namespaced: false,
  schemaName: "io.k8s.api.storage.v1.VolumeAttachment",
  returnDeletedObject: true,
  hasStatus: true,
  validateCreate: validateNew,
  validateStatusUpdate: validateStatus,
  validateUpdate: (attachment, old) => [
    ...validate(attachment),
    ...validateImmutableField(attachment.spec, old.spec, "spec"),
  ],
  strategy: plainStrategy({
    prepareForCreate(attachment) {
      attachment.status = { attached: false };
    },
    prepareForUpdate(attachment, old) {
      attachment.status = old.status;
    },
    prepareForStatusUpdate(attachment, old) {
      attachment.spec = old.spec;
      keepMetadata(attachment, old);
    },
  }),
  columns: [
    NAME,
    column("Attacher", "The driver that attaches it."),
    column("PV", "The volume."),
    column("Node", "The node."),
    column("Attached", "Whether it is attached.", "boolean"),
    AGE,
  ],
  row: (attachment, context) => [
    nameOf(attachment),
    attachment.spec?.attacher ?? "",
    attachment.spec?.source?.persistentVolumeName ?? "",
    attachment.spec?.nodeName ?? "",
    attachment.status?.attached ?? false,
    age(attachment, context),
  ],
});
