// What a reload keeps: in the browser's storage for this site, or in memory where the browser
// allows no storage.
const prefix = "wheelhouse." + new URL(".", document.baseURI).pathname + ".";
const memory = new Map<string, string>();

// keep stores a short text: for good, or with session for this tab only. An empty one is removed.
export function keep(name: string, value: string, where: "always" | "session" = "always"): void {
  memory.set(name, value);
  try {
    const store = where === "always" ? localStorage : sessionStorage;
    if (value) store.setItem(prefix + name, value);
    else store.removeItem(prefix + name);
  } catch {
    // it stays in memory
  }
}

export function kept(name: string, where: "always" | "session" = "always"): string | null {
  try {
    return (where === "always" ? localStorage : sessionStorage).getItem(prefix + name) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}
