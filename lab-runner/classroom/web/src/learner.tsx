// The learner's page: join, the list of labs, a lab beside a terminal.
import { render } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { forLabs, get, message, post, Refused } from "./api";
import { load, t } from "./i18n";
import { Banners } from "./learner/banners";
import { Head } from "./learner/head";
import { Join } from "./learner/join";
import { LabPage } from "./learner/lab";
import { Labs } from "./learner/labs";
import { keep } from "./kept";
import { Live, type LiveState } from "./live";
import { Retry } from "./retry";
import * as page from "./page";
import { Notice } from "./parts";
import { flag, line, list, object, plain } from "./safe";

const long = ["start", "solve", "reset", "goto", "next", "check", "stop"]; // what a desk may take minutes for
const mostOutput = 64 * 1024; // characters of output that are kept

export interface Desk {
  state: string;
  text: string;
}

function Learner() {
  const [me, setMe] = useState<page.Me | null>(null);
  const [joinSays, setJoinSays] = useState("");
  // The server has a hash of it only: it is shown until this tab is closed.
  const [returnCode, setReturnCode] = useState("");
  const [asked, setAsked] = useState(false); // whether this browser is known was answered
  const load = useCallback(async () => {
    try {
      setMe(page.me(await get("api/me")));
      setJoinSays("");
      setAsked(true);
      retry.current?.succeeded();
    } catch (err) {
      if (err instanceof Refused && err.status === 401) {
        setMe(null);
        setAsked(true);
      } else {
        setJoinSays(message(err)); // who the learner is, is not known: no form to join as another
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
  if (!asked) return <p class="quiet pad" role="status">{joinSays || t("loading")}</p>;
  if (!me) {
    return (
      <Join
        key={joinSays}
        says={joinSays}
        joined={(code) => {
          setReturnCode(code);
          keep("returnCode", code, "session");
          setAsked(false); // the form to join is over, also if the server is not reached now
          void load();
        }}
      />
    );
  }
  return <Room me={me} setMe={setMe} reload={load} newReturnCode={returnCode} />;
}

interface RoomProps {
  me: page.Me;
  setMe: (change: (m: page.Me | null) => page.Me | null) => void;
  reload: () => Promise<void>;
  newReturnCode: string;
}

// place is what the address says behind "#": the list, or what the workbench has open.
const place = (): "labs" | "lab" => (location.hash === "#labs" ? "labs" : "lab");

function Room({ me, setMe, reload, newReturnCode }: RoomProps) {
  const [view, setView] = useState<page.View | null>(null);
  const [map, setMap] = useState<page.ClusterMap | null>(null);
  const [labs, setLabs] = useState<page.Lab[] | null>(null);
  const [output, setOutput] = useState("");
  const [desk, setDesk] = useState<Desk>({ state: "starting", text: "" });
  const [live, setLive] = useState<LiveState>("connecting");
  const [notice, setNotice] = useState({ text: "", failed: false });
  const [busy, setBusy] = useState("");
  const [where, setWhere] = useState(place());
  const failures = useRef(0);
  const open = useRef<string | undefined>(undefined); // the labs that are open

  const say = (text: string, failed = false): void => setNotice({ text, failed });

  const loadLabs = useCallback(async () => {
    try {
      setLabs(list(await get("api/labs"), page.lab));
    } catch (err) {
      say(message(err), true);
    }
  }, []);

  useEffect(() => {
    const moved = (): void => setWhere(place());
    addEventListener("hashchange", moved);
    const stream = new Live(
      "api/live",
      {
        view: (v) => setView(page.view(v)),
        map: (m) => setMap(page.clusterMap(m)),
        output: (o) => setOutput((before) => (before + plain(object(o)["text"])).slice(-mostOutput)),
        desk: (d) => setDesk({ state: line(object(d)["state"]), text: line(object(d)["text"], 1000) }),
        class: (c) => {
          setMe((m) => m && changed(m, c));
          const now = JSON.stringify(object(c)["labs"] ?? object(object(c)["class"])["labs"]);
          if (open.current !== undefined && now !== open.current) void loadLabs();
          open.current = now;
        },
      },
      (state) => {
        setLive(state);
        failures.current = state === "open" ? 0 : failures.current + 1;
        // After some failures the reason may be that the session has ended.
        if (state === "lost" && failures.current % 4 === 3) void reloadIfGone(reload);
      },
    );
    return () => {
      removeEventListener("hashchange", moved);
      stream.stop();
    };
  }, []);

  useEffect(() => {
    if (where === "labs" || !view?.lab) void loadLabs();
  }, [where, view?.lab]);

  // act has the workbench do something, and reports whether it did.
  const act = async (body: { do: string } & Record<string, unknown>): Promise<unknown> => {
    setBusy(body.do);
    say("");
    if (["solve", "reset", "goto"].includes(body.do)) setOutput("");
    try {
      return await post("api/desk", { lab: view?.lab, step: view?.step, ...body }, !["next", "back", "hint"].includes(body.do), long.includes(body.do) ? forLabs : undefined);
    } catch (err) {
      say(message(err), true);
      return undefined;
    } finally {
      setBusy("");
    }
  };

  const start = async (lab: string): Promise<void> => {
    if (lab === view?.lab || (await act({ do: "start", lab })) !== undefined) location.hash = "#lab";
  };

  const set = async (path: string, body: Record<string, unknown>, change: (m: page.Me) => page.Me): Promise<void> => {
    try {
      await post(path, body, true);
      setMe((m) => m && change(m));
    } catch (err) {
      say(message(err), true);
    }
  };

  const leave = async (): Promise<void> => {
    await set("api/leave", {}, (m) => m);
    keep("returnCode", "", "session");
    await reload();
  };

  const inLab = where === "lab" && !!view?.lab;
  return (
    <div class="room">
      <Head me={me} live={live} leave={() => void leave()} help={(on) => void set("api/help", { on }, (m) => ({ ...m, help: on }))} newReturnCode={newReturnCode} inLab={inLab} hasLab={!!view?.lab} />
      <Banners me={me} desk={desk} live={live} typing={(allow) => void set("api/typing", { allow }, (m) => ({ ...m, typing: allow ? "allowed" : "no" }))} />
      <Notice {...notice} close={() => say("")} />
      {inLab && view ? (
        <LabPage view={view} map={map} output={output} busy={busy} act={act} />
      ) : (
        <Labs labs={labs} programs={me.programs} current={view?.lab ?? ""} open={(lab) => void start(lab)} />
      )}
    </div>
  );
}

// changed is the learner after an event of the class, which has the state of the class alone or all of api/me.
function changed(m: page.Me, event: unknown): page.Me {
  const o = object(event);
  if (!("class" in o)) {
    const next = { ...m, class: page.classState(event) };
    if ("watched" in o) next.watched = flag(o["watched"]);
    if ("help" in o) next.help = flag(o["help"]);
    if ("typing" in o) next.typing = page.me({ typing: o["typing"] }).typing;
    return next;
  }
  const next = page.me(event);
  return { ...next, id: next.id || m.id, name: next.name || m.name, returnCode: next.returnCode || m.returnCode };
}

async function reloadIfGone(reload: () => Promise<void>): Promise<void> {
  try {
    await get("api/me");
  } catch (err) {
    if (err instanceof Refused && err.status === 401) await reload();
  }
}

void load().then(() => {
  const box = document.getElementById("page");
  if (box) render(<Learner />, box);
});
