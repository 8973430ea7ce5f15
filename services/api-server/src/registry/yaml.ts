// YAML as Kubernetes' own library reads and writes it, which keeps to the older edition: yes and no are booleans, numbers with a
// leading zero are octal, << merges. Guarantee: what is written reads the same in either edition.
// https://yaml.org/type/bool.html, https://yaml.org/type/int.html, https://yaml.org/type/merge.html
import { type Document, type LineCounter, parseDocument, type ScalarTag, stringify } from "yaml";

const OLDER_SCALARS: readonly ScalarTag[] = [
  {
    tag: "tag:yaml.org,2002:bool",
    default: true,
    test: /^(?:y|yes|Yes|YES|on|On|ON|Y)$/,
    resolve: () => true,
  },
  {
    tag: "tag:yaml.org,2002:bool",
    default: true,
    test: /^(?:n|no|No|NO|off|Off|OFF|N)$/,
    resolve: () => false,
  },
  {
    tag: "tag:yaml.org,2002:int",
    default: true,
    test: /^[-+]?0_*[0-7][0-7_]*$/,
    resolve: (text) => Number.parseInt(text.replaceAll("_", ""), 8),
  },
  {
    tag: "tag:yaml.org,2002:int",
    default: true,
    test: /^[-+]?[1-9][0-9]*_[0-9_]*$/,
    resolve: (text) => Number(text.replaceAll("_", "")),
  },
];

/** With all keys, also those that are there twice. */
export function parseYaml(text: string, lineCounter: LineCounter): Document {
  const customTags = (tags: readonly (string | object)[]) => [...OLDER_SCALARS, ...tags] as ScalarTag[];
  return parseDocument(text, { uniqueKeys: false, merge: true, lineCounter, customTags });
}

export function writeYaml(document: object): string {
  return stringify(document, {
    compat: "yaml-1.1",
    lineWidth: 0,
    indentSeq: false,
    sortMapEntries: true,
    aliasDuplicateObjects: false,
  });
}
