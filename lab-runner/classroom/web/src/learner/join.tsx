// Join asks for the code of the room and a name.
import { useState } from "preact/hooks";
import { message, post, Refused } from "../api";
import { t } from "../i18n";
import { kept, keep } from "../kept";
import { Language } from "../parts";
import { line, object } from "../safe";

// The address of the QR code has the code behind "#", which browsers do not send.
function codeOfAddress(): string {
  try {
    return decodeURIComponent(/^#code=([\w%-]{1,40})$/.exec(location.hash)?.[1] ?? "");
  } catch {
    return ""; // a percent sign that begins no character
  }
}

export function Join({ joined, says }: { joined: (returnCode: string) => void; says: string }) {
  const [code, setCode] = useState(codeOfAddress() || (kept("join.code", "session") ?? ""));
  const [name, setName] = useState(kept("join.name", "session") ?? "");
  const [back, setBack] = useState("");
  const [taken, setTaken] = useState(false);
  const [failed, setFailed] = useState(says);
  const [busy, setBusy] = useState(false);

  const field = (key: string, set: (v: string) => void) => (e: { currentTarget: HTMLInputElement }) => {
    set(e.currentTarget.value);
    keep(key, e.currentTarget.value, "session");
  };

  const submit = async (e: Event): Promise<void> => {
    e.preventDefault();
    setBusy(true);
    setFailed("");
    try {
      const body = { code: code.trim(), name: name.trim(), ...(back.trim() ? { returnCode: back.trim() } : {}) };
      const answer = object(await post("api/join", body));
      if (location.hash.startsWith("#code=")) history.replaceState(null, "", location.pathname);
      joined(line(answer["returnCode"]));
    } catch (err) {
      if (err instanceof Refused && err.status === 409) setTaken(true);
      const wait = err instanceof Refused && err.retryAfter ? " " + t("join.wait", { seconds: err.retryAfter }) : "";
      setFailed(message(err) + wait);
      setBusy(false);
    }
  };

  return (
    <main class="join">
      <form onSubmit={(e) => void submit(e)}>
        <img src="icon.svg" alt="" width="56" height="56" />
        <h1>{t("join.title")}</h1>
        <label>{t("join.code")}
          <input value={code} onInput={field("join.code", setCode)} required maxLength={40} autocomplete="off" autocapitalize="characters" spellcheck={false} class="code" autofocus={!code} />
        </label>
        <label>{t("join.name")}
          <input value={name} onInput={field("join.name", setName)} required maxLength={60} autocomplete="nickname" aria-describedby="name-about" autofocus={!!code} />
        </label>
        <p class="quiet" id="name-about">{t("join.name.about")}</p>
        <details open={taken}>
          <summary>{t("join.back")}</summary>
          <label>{t("join.returnCode")}
            <input value={back} onInput={(e) => setBack(e.currentTarget.value)} maxLength={60} autocomplete="off" spellcheck={false} class="code" />
          </label>
          <p class="quiet">{t("join.returnCode.about")}</p>
        </details>
        <p class="failed" role="alert">{failed}</p>
        <button type="submit" class="primary" disabled={busy}>{busy ? t("join.busy") : t("join.go")}</button>
        <p class="join-foot"><Language /> <a href="trust">{t("join.trust")}</a></p>
      </form>
    </main>
  );
}
