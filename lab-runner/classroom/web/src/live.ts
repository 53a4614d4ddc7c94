// Live is a stream of server-sent events that connects again when it breaks. The first events
// of each connection have the whole state.
import { address } from "./api";
import { Retry } from "./retry";

const silence = 40_000; // ms; the server writes an event each 15 s

export type LiveState = "connecting" | "open" | "lost";

export class Live {
  private source: EventSource | null = null;
  private quiet: number | undefined; // the end of a connection on which nothing comes
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
    clearTimeout(this.quiet);
    this.source?.close();
    this.source = null;
  }

  private connect(): void {
    this.source?.close();
    const source = (this.source = new EventSource(address(this.path)));
    const heard = (): void => {
      clearTimeout(this.quiet);
      this.quiet = window.setTimeout(lost, silence);
    };
    const lost = (): void => {
      if (source !== this.source) return;
      clearTimeout(this.quiet);
      source.close();
      this.retry.later();
      this.state("lost");
    };
    source.addEventListener("beat", heard);
    source.onopen = () => {
      heard();
      this.retry.succeeded();
      this.state("open");
    };
    source.onerror = lost;
    for (const [name, handle] of Object.entries(this.handlers)) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        if (source === this.source) heard();
        let data: unknown;
        try {
          data = JSON.parse(event.data);
        } catch {
          return; // not an event of this contract
        }
        handle(data);
      });
    }
  }
}
