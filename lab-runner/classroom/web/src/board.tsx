// The instructor's board: where each learner is, what is red, who asked for help.
import { render } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, longest, message, post, Refused } from "./api";
import { Actions } from "./board/actions";
import { Login } from "./board/login";
import { board, filters, order, passes, type Board, type Filter, type Row } from "./board/state";
import { Table } from "./board/table";
import { Watch } from "./board/watch";
import { load, many, t } from "./i18n";
import { kept, keep } from "./kept";
import { Live, type LiveState } from "./live";
import { Retry } from "./retry";
import { lab, type Lab } from "./page";
import { Language, Notice, Timer } from "./parts";
import { line, list, object, oneOf } from "./safe";

function Instructor() {
  const [state, setState] = useState<Board | null>(null);
  const [says, setSays] = useState("");
  const [asked, setAsked] = useState(false);
  const load = useCallback(async () => {
    try {
      setState(board(await get("api/board")));
      setSays("");
      setAsked(true);
      retry.current?.succeeded();
    } catch (err) {
      if (err instanceof Refused && err.status === 401) {
        setState(null);
        setAsked(true);
      } else {
        setSays(message(err)); // the board stays: its password is used up
        retry.current?.later();
      }
    }
  }, []);
  const retry = useRef<Retry | null>(null);
  useEffect(() => {
    retry.current = new Retry(() => void load());
    void load();
    return () => retry.current?.stop();
  }, []);
  if (!asked) return <p class="quiet pad" role="status">{says || t("loading")}</p>;
  if (!state) return <Login key={says} says={says} done={() => void load()} />;
  return <Room board={state} change={setState} reload={load} />;
}

function Room({ board: b, change, reload }: { board: Board; change: (b: Board) => void; reload: () => Promise<void> }) {
  const [live, setLive] = useState<LiveState>("connecting");
  const [labs, setLabs] = useState<Lab[]>([]);
  const [notice, setNotice] = useState({ text: "", failed: false });
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [filter, setFilter] = useState<Filter>(oneOf(kept("board.filter", "session"), filters, "all"));
  const [text, setText] = useState(kept("board.text", "session") ?? "");
  const [watched, setWatched] = useState("");

  useEffect(() => {
    let lost = 0;
    const stream = new Live("api/board/live", { board: (v) => change(board(v)) }, (s) => {
      setLive(s);
      lost = s === "open" ? 0 : lost + 1;
      if (s === "lost" && lost % 4 === 3) void gone(reload);
    });
    return () => stream.stop();
  }, []);
  const offered = b.class.labs.join(" ");
  useEffect(() => {
    // Without an answer, the names of the labs are enough.
    get("api/board").then((b) => setLabs(list(object(b)["labs"], lab)), () => setLabs([]));
  }, [offered]);

  const rows = useMemo(() => b.learners.filter((r) => passes(r, filter, text)).sort(order), [b, filter, text]);
  const here = useMemo(() => new Set(b.learners.map((r) => r.id).filter((id) => chosen.has(id))), [b, chosen]);
  const row = b.learners.find((r) => r.id === watched);

  const send = async (path: string, body: Record<string, unknown>, done: string): Promise<void> => {
    try {
      const answer = object(await post(path, body, false, longest));
      const failed = list(answer["failed"], (f) => `${b.learners.find((r) => r.id === object(f)["id"])?.name ?? "?"}: ${line(object(f)["error"])}`);
      const code = line(answer["code"]);
      if (failed.length) setNotice({ text: t("board.failed", { n: failed.length }) + " " + failed.slice(0, 5).join("; "), failed: true });
      else setNotice({ text: code ? t("board.code", { code }) : done, failed: false });
      if (live !== "open") await reload();
    } catch (err) {
      setNotice({ text: message(err), failed: true });
    }
  };
  const act = (action: string, more: Record<string, unknown> = {}, of?: Row): void =>
    void send("api/board/do", { action, learners: of ? [of.id] : here.size ? [...here] : ["*"], ...more }, t("board.did"));
  const choose = (ids: string[], on: boolean): void => {
    const next = new Set(chosen);
    for (const id of ids) on ? next.add(id) : next.delete(id);
    setChosen(next);
  };
  const logout = async (): Promise<void> => {
    await send("api/instructor/logout", {}, "");
    await reload();
  };
  const count = (f: Filter): number => b.learners.filter((r) => passes(r, f, "")).length;
  return (
    <div class="room">
      <header class="top">
        <span class="brand">{b.class.title || "Wheelhouse"}</span>
        <span>{b.full.limit ? t("board.full", { n: b.full.learners, of: b.full.limit }) : many("board.learners", b.learners.length)}</span>
        <span class="spacer" />
        <Timer end={b.class.timer} />
        <span class={"live " + live} role="status"><span aria-hidden="true">●</span><span class="unseen">{t(`live.state.${live}`)}</span></span>
        <Language />
        <button type="button" onClick={() => void logout()}>{t("board.logout")}</button>
      </header>
      {live === "lost" && <p class="banner warn" role="status">{t("board.lost")}</p>}
      <Notice {...notice} close={() => setNotice({ text: "", failed: false })} />
      <main class="board-page">
        <section class="who-where" aria-label={t("board.title")}>
          <div class="filters">
            <input type="search" placeholder={t("board.search")} aria-label={t("board.search")} value={text} onInput={(e) => { setText(e.currentTarget.value); keep("board.text", e.currentTarget.value, "session"); }} />
            {filters.map((f) => (
              <button key={f} type="button" aria-pressed={f === filter} onClick={() => { setFilter(f); keep("board.filter", f, "session"); }}>{t(`board.filter.${f}`)} {count(f)}</button>
            ))}
          </div>
          {b.causes.length > 0 && (
            <div class="causes">
              <strong>{t("board.causes")}</strong>
              <ol>{[...b.causes].sort((x, y) => y.count - x.count).slice(0, 3).map((c) => <li key={c.cause}><button type="button" onClick={() => setText(c.cause)}>{c.cause} <b>{c.count}</b></button></li>)}</ol>
            </div>
          )}
          {b.learners.length === 0 ? <p class="quiet pad">{t("board.nobody")}</p> : <Table rows={rows} chosen={here} choose={choose} watch={(r) => setWatched(r.id)} helped={(r) => act("help-done", {}, r)} />}
          {b.learners.length > 0 && rows.length === 0 && <p class="quiet pad">{t("board.nonefound")}</p>}
        </section>
        <Actions board={b} labs={labs} chosen={here.size} act={act} forget={() => void send("api/board/forget", {}, t("board.forgot"))} />
      </main>
      {row && <Watch learner={row} ask={() => act("ask-typing", {}, row)} close={() => setWatched("")} />}
    </div>
  );
}

async function gone(reload: () => Promise<void>): Promise<void> {
  try {
    await get("api/board");
  } catch (err) {
    if (err instanceof Refused && err.status === 401) await reload();
  }
}

void load().then(() => {
  const box = document.getElementById("page");
  if (box) render(<Instructor />, box);
});
