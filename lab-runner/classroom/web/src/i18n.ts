// The texts of the pages, in files of lang/, one for each language. English is part of the
// program; another language is fetched. A key that a language lacks is shown in English.
import en from "../lang/en.json";
import { kept, keep } from "./kept";

export type Key = keyof typeof en;
type Values = Record<string, string | number>;

// LANGUAGES is set by build.mjs: the names of the files in lang/.
declare const LANGUAGES: readonly string[];
export const languages = LANGUAGES;

let texts: Partial<Record<Key, string>> = en;
let current = "en";

// t returns a text; {name} in it is replaced by the value of that name.
export function t(key: Key, values: Values = {}): string {
  return (texts[key] ?? en[key]).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

// many returns one of the two forms of a text, "one|other", by the number n.
export function many(key: Key, n: number, values: Values = {}): string {
  const forms = t(key, { n, ...values }).split("|");
  return (new Intl.PluralRules(current).select(n) === "one" ? forms[0] : forms[1] ?? forms[0]) ?? "";
}

export const language = (): string => current;

// name returns what a language calls itself.
export function name(l: string): string {
  return new Intl.DisplayNames([l], { type: "language" }).of(l) ?? l;
}

// load takes the language that was chosen here before, or else the first that the browser asks for.
export async function load(): Promise<void> {
  const asked = [kept("language") ?? "", ...navigator.languages.map((l) => l.split("-")[0] ?? "")];
  await choose(asked.find((l) => languages.includes(l)) ?? "en");
}

async function choose(l: string): Promise<void> {
  try {
    texts = l === "en" ? en : ((await (await fetch(`lang/${l}.json`)).json()) as typeof texts);
    current = l;
  } catch {
    texts = en; // the page works without the file
    current = "en";
  }
  document.documentElement.lang = current;
}

// change keeps the choice and shows the page in that language.
export function change(l: string): void {
  keep("language", l);
  location.reload();
}
