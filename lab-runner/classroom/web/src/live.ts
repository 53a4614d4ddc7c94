// Live is a stream of server-sent events that connects again when it breaks. The first events
// of each connection have the whole state.
import { address } from "./api";
import { Retry } from "./retry";

const silence = 40_000; // ms; the server writes an event each 15 s

export type LiveState = "connecting" | "open" | "lost";

export class Live {
  private source: EventSource | null = null;
  private silent: number | undefined; // the timer of a connection on which nothing comes
  private readonly retry = new Retry(() => this.connect());

  // handlers are called with the data of the events of their name. state is called when the connection changes.
  constructor(
    private readonly path: string,
    private readonly handlers: Record<string, (data: unknown) => void>,
    private readonly state: (s: LiveState) => void,
  ) {
    state("connecting");
    this.connect();
  }

  stop(): void {
    this.retry.stop();
    clearTimeout(this.silent);
    this.source?.close();
    this.source = null;
  }

  private connect(): void {
    this.source?.close();
    const source = (this.source = new EventSource(address(this.path)));
    const received = (): void => {
      clearTimeout(this.silent);
      this.silent = window.setTimeout(lost, silence);
    };
    const lost = (): void => {
      if (source !== this.source) return;
      clearTimeout(this.silent);
      source.close();
      this.retry.later();
      this.state("lost");
    };
    source.addEventListener("beat", received);
    source.onopen = () => {
      received();
      this.retry.succeeded();
      this.state("open");
    };
    source.onerror = lost;
    for (const [name, handle] of Object.entries(this.handlers)) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        if (source === this.source) received();
        let data: unknown;
        try {
          data = JSON.parse(event.data);
        } catch {
          return; // not an event of this contract
        }
        handle(data);
      });
    }
    received(); // a connection that is never answered ends as well: a browser waits for minutes
  }
}
