// Login asks for the instructor's password, which is for one login.
import { useState } from "preact/hooks";
import { message, post } from "../api";
import { t } from "../i18n";
import { Language } from "../parts";

export function Login({ done, says }: { done: () => void; says: string }) {
  const [password, setPassword] = useState("");
  const [failed, setFailed] = useState(says);
  const [busy, setBusy] = useState(false);
  const submit = async (e: Event): Promise<void> => {
    e.preventDefault();
    setBusy(true);
    try {
      await post("api/instructor/login", { password: password.trim() });
      done();
    } catch (err) {
      setFailed(message(err));
    }
    setBusy(false);
  };
  return (
    <main class="join">
      <form onSubmit={(e) => void submit(e)}>
        <img src="icon.svg" alt="" width="56" height="56" />
        <h1>{t("login.title")}</h1>
        <label>{t("login.password")}
          <input type="password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} required maxLength={200} autocomplete="off" autofocus />
        </label>
        <p class="quiet">{t("login.about")}</p>
        <p class="failed" role="alert">{failed}</p>
        <button type="submit" class="primary" disabled={busy}>{t("login.go")}</button>
        <p class="join-foot"><Language /> <a href="./">{t("login.learner")}</a></p>
      </form>
    </main>
  );
}
