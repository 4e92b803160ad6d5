/**
 * A client whose credentials expire, on a broker that the test scripts.
 *
 * @module
 */
import { assertEquals } from "#assert";
import type { Stomp } from "../../api/stomp.ts";
import type { ExpiringCredentials } from "../../client/connection_options.ts";
import type { StompOptions } from "../../client/options.ts";
import { type ClientHarness, flushMicrotasks, Watcher } from "./client_harness.ts";
import { FakeClock } from "./fake_clock.ts";
import type { RawPeer } from "./raw_peer.ts";
import { confirm, connected, type RawServer } from "./raw_server.ts";

/** How long credentials live. */
export const LIFETIME_MS = 100_000;

/** When new credentials are asked for. */
export const DUE_MS = 90_000;

/** How long what is under way may take then. */
export const GRACE_MS = 5000;

/** Time from the start of a test until they are asked for. */
const SOON_MS = 1000;

/** A client on a scripted broker, whose credentials expire after 100 s. */
export class RenewalRig {
  readonly clock: FakeClock = new FakeClock();
  stomp!: Stomp;
  peer!: RawPeer;
  server!: RawServer;
  watcher!: Watcher;
  calls = 0;

  static async start(harness: ClientHarness, options: StompOptions = {}): Promise<RenewalRig> {
    const rig = new RenewalRig();
    rig.server = await harness.server();
    const credentials = (): ExpiringCredentials => ({
      ...{ username: "u", password: `token-${++rig.calls}` },
      expiresAt: new Date(rig.clock.wall() + LIFETIME_MS),
    });
    rig.stomp = harness.client(rig.server.url, { clock: rig.clock, credentials, heartbeat: false, ...options });
    [rig.peer] = await Promise.all([rig.server.welcome(), rig.stomp.connect()]);
    rig.watcher = new Watcher(rig.stomp);
    rig.clock.pass(DUE_MS - SOON_MS); // so that what a test begins does not time out before
    return rig;
  }

  /** Lets the credentials come close to their end, until the session is about to be replaced. */
  async due(after: number = SOON_MS): Promise<void> {
    this.clock.pass(after);
    await this.watcher.until("renewing");
    await flushMicrotasks();
  }

  /** Lets the time be over for what is under way. The broker answers nothing, not even DISCONNECT. */
  async tooLate(): Promise<void> {
    this.clock.pass(GRACE_MS);
    await flushMicrotasks();
    this.clock.pass(1000);
    await flushMicrotasks();
  }

  /** Answers DISCONNECT, and checks that it is the next frame. */
  async left(): Promise<void> {
    await confirm(this.peer, "DISCONNECT");
    await this.peer.finish();
  }

  /** Accepts the next connection, and checks the password. */
  async next(password = `token-${this.calls}`): Promise<RawPeer> {
    const peer = await this.server.accept();
    assertEquals((await peer.frame("CONNECT")).get("passcode"), password);
    await peer.write(connected());
    return peer;
  }

  /** The types of the statuses up to the next `connected`. */
  async statuses(): Promise<string[]> {
    await this.watcher.until("connected");
    return this.watcher.events.map(({ type }) => type);
  }
}
