// Retry is the growing delay between attempts to connect: half a second, doubled up to 20 s,
// with a random part so that forty pages do not come back at the same time. It tries at
// once when the network or the page comes back.
const first = 500; // ms
const most = 20_000; // ms

export class Retry {
  private delay = first;
  private timer: number | undefined;
  private asleep = 0; // when the page was hidden; 0: it is not

  constructor(private readonly attempt: () => void) {
    addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.seen);
  }

  // succeeded resets the delay.
  succeeded(): void {
    this.delay = first;
    this.cancel();
  }

  // later plans the next attempt, if none is planned, and returns the delay in milliseconds.
  later(): number {
    const delay = this.delay * (0.75 + Math.random() / 2);
    if (this.timer === undefined) {
      this.timer = window.setTimeout(this.now, delay);
      this.delay = Math.min(this.delay * 2, most);
    }
    return delay;
  }

  now = (): void => {
    this.cancel();
    this.attempt();
  };

  stop(): void {
    this.cancel();
    removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.seen);
  }

  private cancel(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private wake = (): void => {
    this.delay = first;
    this.now();
  };

  // A machine that slept has connections that look open and are not.
  private seen = (): void => {
    if (document.hidden) this.asleep = Date.now();
    else if (this.asleep && Date.now() - this.asleep > 30_000) this.wake();
    else if (this.timer !== undefined) this.wake();
    if (!document.hidden) this.asleep = 0;
  };
}
