/** Arguments of a client about where and how it connects: wrong ones are refused at once, in words that help. */
import { assert, assertEquals, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { addressesOf } from "../../client/dialer.ts";
import { Client, openSocket, Simple, Stomp, type StompOptions } from "../../mod.ts";
import { pem } from "../support/sockets.ts";

const CA = pem("ca.pem");
const cert = pem("client.pem");
const key = pem("client.key");
const bytes = new TextEncoder().encode(key);

/** TLS options that are wrong, and part of the error message. */
const REFUSED: [tls: unknown, message: string][] = [
  [{ ca: CA }, "TLS option ca: here it is caCerts, a list of PEM texts"],
  [
    { rejectUnauthorized: false },
    "TLS option rejectUnauthorized: verification cannot be switched off; name the authority",
  ],
  [{ servername: "h" }, "TLS option servername: here it is serverName"],
  [{ checkServerIdentity: () => undefined }, "TLS option checkServerIdentity: serverName is"],
  [{ passphrase: "s3cret" }, "TLS option passphrase: it needs key as well"],
  [{ cert, key, passphrase: "" }, "TLS option passphrase: it is empty"],
  [{ cert, key, passphrase: ["s3cret"] }, "TLS option passphrase: it is a list, but must be text"],
  [{ cert, key, password: "s3cret" }, "TLS option password: here it is passphrase"],
  [{ toString: 1 }, "TLS option toString: the options are caCerts, cert, key, passphrase, serverName, unsafely"],
  [{ caCerts: CA }, "TLS option caCerts: it is a string, but must be a list: write caCerts: [pem]"],
  [{ caCerts: [new TextEncoder().encode(CA)] }, "TLS option caCerts: it has bytes where PEM text is wanted"],
  [{ caCerts: ["/etc/ca.pem"] }, "TLS option caCerts: it has no line -----BEGIN"],
  [{ caCerts: {} }, "TLS option caCerts: it is an object"],
  [{ cert, key: bytes }, "TLS option key: it has bytes where PEM text is wanted"],
  [{ cert: "client.pem", key }, "TLS option cert: it has no line -----BEGIN"],
  [{ cert }, "TLS option cert: it needs key as well"],
  [{ key }, "TLS option key: it needs cert as well"],
  [{ cert, key: pem("client_encrypted.key") }, "TLS option key: it is encrypted, so it needs passphrase as well"],
  [{ serverName: 5 }, "TLS option serverName: it is a number"],
  [{ serverName: "" }, "TLS option serverName: it is empty"],
  [{ unsafelyDisableHostnameVerification: "false" }, "Verification: it is a string, but must be true or false"],
  [true, "option tls: it is a boolean, but must be an object; stomp+ssl:// asks for TLS"],
  [null, "option tls: it is null"],
  [[CA], "option tls: it is a list"],
];

test("wrong TLS options are a TypeError that names them, before anything is connected", async () => {
  for (const [value, message] of REFUSED) {
    const tls = value as NonNullable<StompOptions["tls"]>;
    for (const url of ["stomp+ssl://localhost", "wss://localhost"]) {
      const error = assertThrows(() => new Stomp(url, { tls }), TypeError, message);
      assert(!/s3cret|MI[GH]/.test(error.message), error.message);
      await assertRejects(() => openSocket(url, { tls }), TypeError, message);
    }
  }
});

test("TLS options for a scheme without TLS are a TypeError at once", () => {
  for (const url of ["stomp://h", "ws://h", "failover:(stomp+ssl://a,stomp://h)"]) {
    const error = assertThrows(() => new Stomp(url, { tls: { caCerts: [CA] } }), TypeError, "its scheme has no TLS");
    assert(/ (stomp|ws):\/\/h:/.test(error.message), error.message);
  }
});

test("valid TLS options, and those without a value, are accepted", () => {
  const all = { caCerts: [CA], cert, key, serverName: "h", unsafelyDisableHostnameVerification: true };
  for (const tls of [{}, all, { caCerts: [] }, { ca: undefined, cert: undefined, key: undefined } as object]) {
    assert(!new Stomp("stomp+ssl://h", { tls }).connected);
  }
});

test("`addressesOf()` reads a host with its port", () => {
  const host = (...args: Parameters<typeof addressesOf>) => {
    const { hostname, port } = addressesOf(...args).addresses[0]!;
    return `${hostname} ${port}`;
  };
  assertEquals(host("localhost:1234", undefined), "localhost 1234");
  assertEquals(host("[::1]:1234", undefined), "::1 1234");
  assertEquals(host("::1", undefined), "::1 61613");
  assertEquals(host("::1", 5), "::1 5");
  assertEquals(host("localhost", undefined), "localhost 61613");
  assertEquals(host("localhost", 5), "localhost 5");
});

test("wrong arguments of a client are a TypeError that says what to write", () => {
  const CASES: [args: unknown[], message: string][] = [
    [[{ brokerURL: "ws://h", reconnectDelay: 5 }], 'options are the second argument; write the URL first: ("stomp://'],
    [[5], "write the URL first"],
    [["localhost:61613", 61613], "the host includes a port already"],
    [["stomp://localhost", 61613], "a URL includes its port"],
    [["localhost", "61613"], "must be a port number or options"],
    [["u:s3cret@localhost:61613"], "scheme://host:port, such as stomp://localhost:61613"],
    [["localhost:http"], "its port is not a number"],
  ];
  for (const [args, message] of CASES) {
    for (const Class of [Client, Simple, Stomp]) {
      const error = assertThrows(() => Reflect.construct(Class, args), TypeError, message);
      assert(!error.message.includes("s3cret"), error.message);
    }
  }
});
