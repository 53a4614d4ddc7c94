// What comes from a learner's workbench, from other learners and from the API is not trusted:
// these functions give it a type and a bound before anything is done with it, and clean the HTML
// of a lab's text.
import DOMPurify from "dompurify";

export type Json = Record<string, unknown>;

const mostText = 100_000;
const mostItems = 1000;

export function object(v: unknown): Json {
  return typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Json) : {};
}

export function text(v: unknown): string {
  return typeof v === "string" ? v.slice(0, mostText) : typeof v === "number" ? String(v) : "";
}

// What changes the order of a line, or is not visible in it.
const unseen = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+/g;

// line is one line of text without control characters, such as a name.
export function line(v: unknown, most = 300): string {
  return text(v).replace(unseen, " ").trim().slice(0, most);
}

export function number(v: unknown, otherwise = 0): number {
  return typeof v === "number" && Number.isFinite(v) ? v : otherwise;
}

export function flag(v: unknown): boolean {
  return v === true;
}

// date is the time of an RFC 3339 string in milliseconds, or null.
export function date(v: unknown): number | null {
  const ms = Date.parse(text(v));
  return Number.isNaN(ms) || ms <= 0 ? null : ms;
}

export function list<T>(v: unknown, of: (item: unknown) => T): T[] {
  return Array.isArray(v) ? v.slice(0, mostItems).map(of) : [];
}

export function oneOf<T extends string>(v: unknown, of: readonly T[], otherwise: T): T {
  return of.find((o) => o === v) ?? otherwise;
}

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

// clean returns the HTML with nothing but text and its structure: no script, style, image, form or frame, no attribute
// but the address of a link, which leads to http or https and opens on a click only.
export function clean(html: string): string {
  return purify.sanitize(html, {
    ALLOWED_TAGS: [
      ..."p br hr strong em b i del code pre kbd samp sub sup blockquote a".split(" "),
      ..."h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table thead tbody tr th td".split(" "),
    ],
    ALLOWED_ATTR: ["href", "start"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^https?:/i,
  });
}

// plain is text that was meant for a terminal without its escape sequences.
export function plain(v: unknown): string {
  return text(v).replace(/\u001b(\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(\u0007|\u001b\\)|.)/g, "").replace(/[^\n\t\u0020-\u007e\u00a0-\uffff]/g, "");
}
